import type { JsonSchema } from "./json-schemas.ts";

const text = (description: string) => ({ description, schema: { type: "string" } });
const wholeNumber = { type: "string", pattern: "^[0-9]+$" };
const limit = (what: string) => ({ description: what, schema: wholeNumber });

/** Headers by the name that responses refer to them with. */
export const HEADERS = {
  RequestId: { ...text("Id of the request: the client's own where it sent one."), required: true },
  RetryAfter: { description: "Seconds after which to try again.", schema: wholeNumber },
  RequestLimit: limit("Requests a minute that the key has."),
  RequestsRemaining: limit("Requests that are left."),
  RequestsReset: text("When all of them are there again, as `1200ms`."),
  TokenLimit: limit("Tokens a minute that the key has."),
  TokensRemaining: limit("Tokens that are left."),
  TokensReset: text("When all of them are there again, as `1200ms`."),
};

type HeaderName = keyof typeof HEADERS;

const header = (name: HeaderName) => ({ $ref: `#/components/headers/${name}` });
const ALWAYS = { "x-request-id": header("RequestId") };
const RETRY = { "retry-after": header("RetryAfter") };
/** Of replies to POST, for a key that has limits. */
export const LIMITS = {
  "x-ratelimit-limit-requests": header("RequestLimit"),
  "x-ratelimit-remaining-requests": header("RequestsRemaining"),
  "x-ratelimit-reset-requests": header("RequestsReset"),
  "x-ratelimit-limit-tokens": header("TokenLimit"),
  "x-ratelimit-remaining-tokens": header("TokensRemaining"),
  "x-ratelimit-reset-tokens": header("TokensReset"),
};

export const schemaOf = (name: string) => ({ $ref: `#/components/schemas/${name}` });

export const response = (description: string, content?: object, headers: object = {}) => ({
  description,
  headers: { ...ALWAYS, ...headers },
  ...(content && { content }),
});

export const json = (schema: string, examples?: object) => ({
  "application/json": { schema: schemaOf(schema), ...(examples && { examples }) },
});

/**
 * An event stream, each event of which holds JSON of these schemas or one of these words. OpenAPI 3.1 has no words for
 * streams: the schema is one event's, as 3.2 has it in itemSchema.
 */
export const eventStream = (items: readonly JsonSchema[], words: readonly string[], example: string) => ({
  "text/event-stream": {
    schema: {
      type: "object",
      description: "One server-sent event.",
      properties: {
        data: {
          description: "What it tells.",
          anyOf: [
            ...words.map((word) => ({ const: word })),
            { type: "string", contentMediaType: "application/json", contentSchema: { anyOf: items } },
          ],
        },
      },
      required: ["data"],
    },
    example,
  },
});

const ERRORS = {
  "400": "The request is wrong: `param` names the field.",
  "401": "A key is needed, or this one is not known.",
  "404": "There is no such model.",
  "413": "The body is too large.",
  "415": "The body's content type is not JSON.",
  "429": "Too many requests or tokens, of this key or of all clients.",
  "500": "The answer failed; the gateway's log has more under this x-request-id.",
  "503": "The mesh does not serve just now.",
};

/** Responses of these statuses, each an error object. */
export function errors(statuses: readonly (keyof typeof ERRORS)[], headers: object = {}) {
  const entries = statuses.map((status) => {
    const retries = status === "429" || status === "503" ? RETRY : {};
    return [status, response(ERRORS[status], json("Error"), { ...headers, ...retries })];
  });
  return Object.fromEntries(entries);
}
