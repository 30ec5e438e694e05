import manifest from "../../package.json" with { type: "json" };
import { MAX_BODY_BYTES, MAX_NESTING } from "../request-body.ts";
import { chatSchema, completionSchema } from "../request-fields.ts";
import { chatMessage } from "../structured/messages.ts";
import { tool } from "../structured/schemas.ts";
import { LABELS, UNSUPPORTED } from "../unsupported.ts";
import { type JsonSchema, jsonSchemas } from "./json-schemas.ts";
import { liveEvent } from "./live-events.ts";
import { PATHS } from "./paths.ts";
import * as replies from "./replies.ts";
import { HEADERS } from "./responses.ts";

const DESCRIPTION = `flowmesh runs one large language model as a pipeline over several machines, filled by speculation.
The API is OpenAI's, so their clients work with this server's address and \`/v1\`. A field that is not described here is
refused by name. What no schema can say: answers to requests that fit their schema may still be 400, where fields do not
go together, a model has no such token, or a schema of an answer is outside the supported subset. Bodies have at most
${MAX_BODY_BYTES} bytes and ${MAX_NESTING} levels. Every reply carries \`x-request-id\`.`;

/** The description of the whole API: OpenAPI 3.1, the same for each gateway of this version. */
export function openapiDocument() {
  return {
    openapi: "3.1.0",
    info: {
      title: "flowmesh",
      version: manifest.version,
      description: DESCRIPTION.replaceAll("\n", " "),
      license: { name: manifest.license, identifier: manifest.license },
    },
    servers: [{ url: "/", description: "The gateway that gave this description." }],
    paths: PATHS,
    components: { schemas: componentSchemas(), headers: HEADERS, securitySchemes: SECURITY_SCHEMES },
  };
}

const SECURITY_SCHEMES = {
  key: {
    type: "http",
    scheme: "bearer",
    description: "A key of `flowmesh keys add`. A gateway without keys answers everybody.",
  },
};

function componentSchemas(): Readonly<Record<string, JsonSchema>> {
  const schemas = jsonSchemas({
    ChatRequest: chatSchema,
    CompletionRequest: completionSchema,
    ChatMessage: chatMessage,
    Tool: tool,
    ChatCompletion: replies.chatCompletion,
    ChatChunk: replies.chatChunk,
    Completion: replies.completion,
    CompletionChunk: replies.completionChunk,
    Usage: replies.usage,
    Account: replies.account,
    CommitNote: replies.commitNote,
    Model: replies.model,
    ModelList: replies.modelList,
    Healthy: replies.healthy,
    Unhealthy: replies.unhealthy,
    Error: replies.errorObject,
    LiveEvent: liveEvent,
  });
  return {
    ...schemas,
    ChatRequest: withOtherFields(schemas.ChatRequest),
    CompletionRequest: withOtherFields(schemas.CompletionRequest),
  };
}

/** Beside what the schema knows, a request may have labels, and fields of OpenAI's API that ask for nothing. */
function withOtherFields(request: JsonSchema): JsonSchema {
  const labels = [...LABELS].map((field) => [
    field,
    { description: "A label of the client's; has no effect." },
  ]);
  const unsupported = Object.entries(UNSUPPORTED).map(([field, harmless]) => [
    field,
    { enum: harmless, description: "Not supported: only values that ask for nothing are taken." },
  ]);
  return {
    ...request,
    properties: {
      ...(request.properties as object),
      ...Object.fromEntries(labels),
      ...Object.fromEntries(unsupported),
    },
    additionalProperties: false,
  };
}
