import { invalidRequest } from "./errors.ts";

/** Absent, or without any effect. */
const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === 0 ||
  value === "" ||
  (typeof value === "object" && Object.keys(value).length === 0);

const isEmptyOr =
  (...harmless: readonly unknown[]) =>
  (value: unknown): boolean =>
    isEmpty(value) || harmless.some((one) => JSON.stringify(one) === JSON.stringify(value));

/**
 * Fields of OpenAI's API that would change the answer's meaning and that no stage of the mesh honours,
 * with the test for values that ask for nothing. To ignore them silently would be a wrong answer.
 */
const UNSUPPORTED: Readonly<Record<string, (value: unknown) => boolean>> = {
  functions: isEmpty,
  function_call: isEmptyOr("none", "auto"),
  modalities: isEmptyOr(["text"]),
  audio: isEmpty,
  web_search_options: (value) => value === undefined || value === null,
  suffix: isEmpty,
  echo: isEmpty,
  best_of: isEmptyOr(1),
  store: isEmpty,
  prediction: isEmpty,
  reasoning_effort: isEmptyOr("none"),
  verbosity: isEmptyOr("medium"),
  service_tier: isEmptyOr("auto", "default"),
  moderation: isEmpty,
};

/** Labels that clients put on requests for their own sake: they ask for nothing. */
const LABELS: ReadonlySet<string> = new Set([
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
  for (const [field, isHarmless] of Object.entries(UNSUPPORTED)) {
    if (isHarmless(body[field])) continue;
    throw invalidRequest(
      `${field} is not supported here; send the request without it`,
      field,
      "unsupported_parameter",
    );
  }
}
