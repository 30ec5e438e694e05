import { invalidRequest } from "./errors.ts";

/** Values that ask for nothing, in whatever field. */
const EMPTY = [null, false, 0, "", [], {}] as const;

/**
 * Fields of OpenAI's API that would change the answer's meaning and that no stage of the mesh honours,
 * with the values that ask for nothing. To ignore others silently would be a wrong answer.
 */
export const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  functions: EMPTY,
  function_call: [...EMPTY, "none", "auto"],
  modalities: [...EMPTY, ["text"]],
  audio: EMPTY,
  web_search_options: [null],
  suffix: EMPTY,
  echo: EMPTY,
  best_of: [...EMPTY, 1],
  store: EMPTY,
  prediction: EMPTY,
  reasoning_effort: [...EMPTY, "none"],
  verbosity: [...EMPTY, "medium"],
  service_tier: [...EMPTY, "auto", "default"],
  moderation: EMPTY,
};

/** Compared as JSON, in which -0 is 0. */
function isHarmless(value: unknown, harmless: readonly unknown[]): boolean {
  if (value === undefined) return true;
  const json = JSON.stringify(value);
  return harmless.some((one) => JSON.stringify(one) === json);
}

/** Labels that clients put on requests for their own sake: they ask for nothing. */
export const LABELS: ReadonlySet<string> = new Set([
  "user",
  "metadata",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
]);

/** Throws ApiError 400 that names the first field that is neither known nor one of OpenAI's. */
export function rejectUnknown(body: Readonly<Record<string, unknown>>, known: readonly string[]): void {
  const isKnown = (field: string) =>
    known.includes(field) || LABELS.has(field) || Object.hasOwn(UNSUPPORTED, field);
  const unknown = Object.keys(body).find((field) => !isKnown(field));
  if (unknown === undefined) return;
  throw invalidRequest(`there is no parameter "${unknown}" here`, unknown, "unknown_parameter");
}

/** Throws ApiError 400 that names the first such field. */
export function rejectUnsupported(body: Readonly<Record<string, unknown>>): void {
  for (const [field, harmless] of Object.entries(UNSUPPORTED)) {
    if (isHarmless(body[field], harmless)) continue;
    throw invalidRequest(
      `${field} is not supported here; send the request without it`,
      field,
      "unsupported_parameter",
    );
  }
}
