import { LIVE_NAME } from "../../actors/live-port.ts";
import {
  CHAT_REPLIES,
  CHAT_REQUESTS,
  CHAT_STREAM,
  COMPLETION_REPLIES,
  COMPLETION_REQUESTS,
  COMPLETION_STREAM,
} from "./examples.ts";
import { errors, eventStream, json, LIMITS, response, schemaOf } from "./responses.ts";

/** With a key, or without where the gateway has none. */
const WITH_KEY = [{ key: [] }, {}];
const FOR_ALL: readonly object[] = [];

const generation = (
  words: { readonly operationId: string; readonly summary: string; readonly description: string },
  requests: { readonly schema: string; readonly examples: object },
  replies: {
    readonly schema: string;
    readonly chunk: string;
    readonly examples: object;
    readonly stream: string;
  },
) => ({
  ...words,
  tags: ["answers"],
  security: WITH_KEY,
  requestBody: { required: true, content: json(requests.schema, requests.examples) },
  responses: {
    "200": response(
      "The answer; a stream of its parts where the request asks for one.",
      {
        ...json(replies.schema, replies.examples),
        ...eventStream([schemaOf(replies.chunk), schemaOf("Error")], ["[DONE]"], replies.stream),
      },
      LIMITS,
    ),
    ...errors(["400", "401", "404", "413", "415", "429", "500", "503"], LIMITS),
  },
});

const file = (operationId: string, summary: string, type: string) => ({
  get: {
    operationId,
    summary,
    tags: ["page"],
    security: FOR_ALL,
    parameters: [
      {
        name: "if-none-match",
        in: "header",
        description: "Tag of the file that the browser has.",
        schema: { type: "string" },
      },
    ],
    responses: {
      "200": response("The file.", { [type]: { schema: { type: "string" } } }),
      "304": response("It is the one that the browser has."),
    },
  },
});

/** Every path of the gateway. */
export const PATHS = {
  "/v1/chat/completions": {
    post: generation(
      {
        operationId: "createChatCompletion",
        summary: "Answers a conversation",
        description: "OpenAI's chat completions.",
      },
      { schema: "ChatRequest", examples: CHAT_REQUESTS },
      { schema: "ChatCompletion", chunk: "ChatChunk", examples: CHAT_REPLIES, stream: CHAT_STREAM },
    ),
  },
  "/v1/completions": {
    post: generation(
      {
        operationId: "createCompletion",
        summary: "Goes on with a text",
        description: "OpenAI's completions, for one prompt a request.",
      },
      { schema: "CompletionRequest", examples: COMPLETION_REQUESTS },
      {
        schema: "Completion",
        chunk: "CompletionChunk",
        examples: COMPLETION_REPLIES,
        stream: COMPLETION_STREAM,
      },
    ),
  },
  "/v1/models": {
    get: {
      operationId: "listModels",
      summary: "Lists what the mesh serves",
      tags: ["models"],
      security: WITH_KEY,
      responses: { "200": response("The models.", json("ModelList")), ...errors(["401"]) },
    },
  },
  "/v1/models/{id}": {
    get: {
      operationId: "getModel",
      summary: "Describes a model",
      tags: ["models"],
      security: WITH_KEY,
      parameters: [
        {
          name: "id",
          in: "path",
          required: true,
          description: 'Id of the model, slashes and all, or "default".',
          schema: { type: "string", minLength: 1 },
          example: "default",
        },
      ],
      responses: { "200": response("The model.", json("Model")), ...errors(["401", "404"]) },
    },
  },
  "/health": {
    get: {
      operationId: "getHealth",
      summary: "Tells whether a request would be served",
      tags: ["watching"],
      security: FOR_ALL,
      responses: {
        "200": response("It would.", json("Healthy")),
        "503": response("It would not.", json("Unhealthy")),
      },
    },
  },
  "/metrics": {
    get: {
      operationId: "getMetrics",
      summary: "Counts requests, tokens and times",
      tags: ["watching"],
      security: WITH_KEY,
      responses: {
        "200": response("In Prometheus' text format.", { "text/plain": { schema: { type: "string" } } }),
        ...errors(["401"]),
      },
    },
  },
  "/live": {
    get: {
      operationId: "watchLive",
      summary: "Tells what happens to answers while they come",
      description: "The stream goes on until the client leaves. It begins with an empty array.",
      tags: ["watching"],
      security: WITH_KEY,
      parameters: [
        {
          name: "name",
          in: "query",
          required: true,
          description: "The name that requests give in `flowmesh.live`: whoever knows it can watch.",
          schema: { type: "string", pattern: LIVE_NAME.source },
        },
      ],
      responses: {
        "200": response(
          "Events.",
          eventStream([{ type: "array", items: schemaOf("LiveEvent") }], [], "data: []\n\n"),
        ),
        ...errors(["400", "401", "503"]),
      },
    },
  },
  "/openapi.json": {
    get: {
      operationId: "getDescription",
      summary: "This description",
      tags: ["watching"],
      security: FOR_ALL,
      responses: {
        "200": response("OpenAPI 3.1.", {
          "application/json": { schema: { type: "object", required: ["openapi", "info", "paths"] } },
        }),
      },
    },
  },
  "/": file("getPage", "The page for people", "text/html"),
  "/page.js": file("getPageScript", "Its script", "text/javascript"),
  "/page.css": file("getPageStyle", "Its style", "text/css"),
  "/icon.svg": file("getPageIcon", "Its icon", "image/svg+xml"),
};
