import { ApiError, invalidRequest } from "./errors.ts";

/** Text of a long context is well below this; a body beyond it would only block the tokenizer. */
export const MAX_BODY_BYTES = 1024 * 1024;

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = Buffer.from('"\\[]{}');

/** Far more than any schema has. What walks over values recursively needs the stack for this many, and no more. */
export const MAX_NESTING = 200;

/**
 * The request's JSON. Throws ApiError: 415 for another content type, 413 past MAX_BODY_BYTES, 400 if malformed or
 * nested deeper than MAX_NESTING.
 */
export async function readJson(request: Request): Promise<unknown> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)) {
    throw new ApiError(415, `content-type must be application/json, not ${type || "absent"}`, {
      code: "unsupported_media_type",
    });
  }
  if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const bytes = await readBounded(request);
  if (nesting(bytes) > MAX_NESTING) {
    throw invalidRequest(`the body is nested deeper than ${MAX_NESTING} levels`);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ApiError(400, `the body is not valid JSON: ${reason}`, { code: "invalid_json", cause });
  }
}

/** Deepest level of arrays and objects. UTF-8 never has the bytes of ASCII inside another character. */
function nesting(json: Uint8Array): number {
  let level = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) inString = !inString;
    else if (inString) {
      if (byte === BACKSLASH) at++;
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) deepest = Math.max(deepest, ++level);
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) level--;
  }
  return deepest;
}

async function readBounded(request: Request): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

const tooLarge = (): ApiError =>
  new ApiError(413, `the body is larger than ${MAX_BODY_BYTES} bytes`, { code: "request_too_large" });

/** A JSON object, or ApiError 400. */
export function asObject(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalidRequest("the body must be a JSON object");
  }
  return body as Readonly<Record<string, unknown>>;
}
