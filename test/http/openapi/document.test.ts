import { describe, expect, test } from "bun:test";
import type * as v from "valibot";
import type { LiveEvent } from "../../../actors/live-port.ts";
import { hashKey } from "../../../http/api-keys.ts";
import { openapiDocument } from "../../../http/openapi/document.ts";
import type { liveEvent } from "../../../http/openapi/live-events.ts";
import { PAGE_PATHS } from "../../../http/page.ts";
import { DescribedApi } from "../described-api.ts";
import { ServedGateway } from "../served-gateway.ts";

const document = JSON.parse(JSON.stringify(openapiDocument()));
const api = new DescribedApi(openapiDocument());
const LIVE_NAME = "a-name-made-up-at-random";

const key = { name: "some", sha256: hashKey("fm-some"), created: "2026-01-01T00:00:00Z" };

/** Calls `see` with each schema within, and a path to it. */
function walkSchemas(schema: unknown, path: string, see: (schema: Schema, path: string) => void): void {
  if (Array.isArray(schema)) {
    for (const [index, one] of schema.entries()) walkSchemas(one, `${path}[${index}]`, see);
  } else if (typeof schema === "object" && schema !== null) {
    see(schema as Schema, path);
    for (const [key, one] of Object.entries(schema)) {
      if (!["default", "enum", "const"].includes(key)) walkSchemas(one, `${path}.${key}`, see);
    }
  }
}
type Schema = Readonly<Record<string, unknown>>;

describe("GET /openapi.json", () => {
  test("describes every route and nothing else", async () => {
    await using gateway = new ServedGateway();
    const routes = gateway.app.routes
      .filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)\{.*?\}/, "{$1}")}`);
    expect(routes.length).toBeGreaterThan(10);
    expect(api.operations.toSorted()).toEqual([...new Set(routes)].toSorted());
  });

  test("is what the gateway gives", async () => {
    await using gateway = new ServedGateway();
    const response = await fetch(`${gateway.url}/openapi.json`);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual(document);
  });

  test("says of every field what it means", () => {
    const mute: string[] = [];
    let fields = 0;
    walkSchemas(document.components.schemas, "", ({ properties }, path) => {
      // A field of that name, not the keyword.
      if (typeof properties !== "object" || properties === null || path.endsWith(".properties")) return;
      for (const [name, field] of Object.entries(properties as Record<string, Schema>)) {
        fields++;
        if (typeof field.description !== "string") mute.push(`${path}.${name}`);
      }
    });
    expect(fields).toBeGreaterThan(150);
    expect(mute).toEqual([]);
  });

  test("refers only to what is there", () => {
    const targets = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      ([, target = ""]) => target,
    );
    expect(targets.length).toBeGreaterThan(50);
    const missing = targets.filter(
      (target) => target.split("/").reduce((part, key) => part?.[key], document) === undefined,
    );
    expect(missing).toEqual([]);
  });

  test("has live events with the fields that the gateway tells", () => {
    type Fields<Event extends { readonly type: string }> = {
      [Type in Event["type"]]: keyof Extract<Event, { readonly type: Type }>;
    };
    type Told = Fields<LiveEvent>;
    type Described = Omit<Fields<v.InferOutput<typeof liveEvent>>, "skipped">;
    // Does not compile when one has a field that the other lacks.
    const same: [Told, Described] extends [Described, Told] ? true : false = true;
    expect(same).toBe(true);
  });

  test("asks for a key exactly where the gateway does", async () => {
    await using gateway = new ServedGateway(undefined, { keys: { keys: () => [key] } });
    for (const operation of api.operations) {
      const [method = "", path = ""] = operation.split(" ");
      if ((PAGE_PATHS as readonly string[]).includes(path)) continue;
      const response = await fetch(`${gateway.url}${path.replace(/\{.*\}/, "default")}`, { method });
      const wantsKey = (api.operation(method, path)?.security.length ?? 0) > 0;
      expect([operation, response.status === 401]).toEqual([operation, wantsKey]);
    }
  });
});

describe("examples", () => {
  const media = Object.values(api.paths)
    .flatMap((methods) => Object.values(methods))
    .flatMap(({ requestBody, responses }) => [
      ...(requestBody ? [requestBody] : []),
      ...Object.values(responses),
    ])
    .flatMap(({ content = {} }) => Object.entries(content));

  test("fit their schemas", () => {
    let count = 0;
    for (const [type, { schema, examples = {}, example }] of media) {
      const texts = Object.values(examples).map(({ value }) => JSON.stringify(value));
      if (typeof example === "string") texts.push(example);
      count += texts.length;
      for (const text of texts) expect([type, api.bodyProblems({ schema }, text)]).toEqual([type, []]);
    }
    expect(count).toBeGreaterThanOrEqual(10);
  });

  test("of requests are answered", async () => {
    await using gateway = new ServedGateway({ commits: [[65, 66], [67]] }, {});
    for (const [path, { post }] of Object.entries(api.paths)) {
      const { examples = {} } = post?.requestBody?.content["application/json"] ?? {};
      for (const { value } of Object.values(examples)) {
        const response = await gateway.post(path, value);
        expect([path, response.status, await response.text()]).toEqual([path, 200, expect.any(String)]);
      }
    }
  });
});

describe("request schemas", () => {
  const fits = (path: string, body: unknown): boolean =>
    api.misfit(api.paths[path]?.post?.requestBody?.content["application/json"]?.schema ?? {}, body) ===
    undefined;
  const chat = { messages: [{ role: "user", content: "hi" }] };

  const jsonSchema = (schema: object) => ({ type: "json_schema", json_schema: { name: "a", schema } });

  // The gateway decides; the description must say the same. Rules between fields are not a schema's.
  test.each<[string, object]>([
    ["/v1/chat/completions", chat],
    ["/v1/chat/completions", { ...chat, stop: "a" }],
    ["/v1/chat/completions", { ...chat, stop: ["a", "b"] }],
    ["/v1/chat/completions", { ...chat, stop: ["a", "b", "c", "d", "e"] }],
    ["/v1/chat/completions", { ...chat, stop: [""] }],
    ["/v1/chat/completions", { ...chat, stop: null }],
    ["/v1/chat/completions", { ...chat, logit_bias: { 65: 1 } }],
    ["/v1/chat/completions", { ...chat, logit_bias: { "065": 1 } }],
    ["/v1/chat/completions", { ...chat, logit_bias: { 65: 101 } }],
    ["/v1/chat/completions", { ...chat, logit_bias: [] }],
    ["/v1/chat/completions", { ...chat, tool_choice: "auto" }],
    ["/v1/chat/completions", { ...chat, tool_choice: "always" }],
    ["/v1/chat/completions", { ...chat, response_format: { type: "json_object" } }],
    ["/v1/chat/completions", { ...chat, response_format: { type: "json_object", schema: {} } }],
    ["/v1/chat/completions", { ...chat, response_format: { type: "xml" } }],
    ["/v1/chat/completions", { ...chat, response_format: jsonSchema({ type: "string" }) }],
    ["/v1/chat/completions", { ...chat, response_format: jsonSchema([]) }],
    ["/v1/chat/completions", { ...chat, stream_options: [] }],
    ["/v1/chat/completions", { ...chat, flowmesh: [] }],
    ["/v1/chat/completions", { ...chat, top_p: 0 }],
    ["/v1/chat/completions", { ...chat, temperature: 2 }],
    ["/v1/chat/completions", { ...chat, n: 17 }],
    ["/v1/chat/completions", { ...chat, max_tokens: 1.5 }],
    ["/v1/chat/completions", { ...chat, flowmesh: { commits: true } }],
    ["/v1/chat/completions", { ...chat, flowmesh: { comits: true } }],
    ["/v1/chat/completions", { ...chat, unheard_of: 1 }],
    ["/v1/chat/completions", { ...chat, user: "me", metadata: { a: "b" } }],
    ["/v1/chat/completions", { ...chat, store: false }],
    ["/v1/chat/completions", { ...chat, store: true }],
    ["/v1/chat/completions", { ...chat, reasoning_effort: "none" }],
    ["/v1/chat/completions", { ...chat, reasoning_effort: "high" }],
    ["/v1/chat/completions", { messages: [] }],
    ["/v1/chat/completions", { messages: [{ role: "king", content: "hi" }] }],
    ["/v1/chat/completions", { messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] }],
    ["/v1/chat/completions", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }],
    ["/v1/chat/completions", {}],
    ["/v1/completions", { prompt: "hi" }],
    ["/v1/completions", { prompt: ["hi"] }],
    ["/v1/completions", { prompt: [[65, 66]] }],
    ["/v1/completions", { prompt: [65, 66] }],
    ["/v1/completions", { prompt: ["hi", "ho"] }],
    ["/v1/completions", { prompt: [] }],
    ["/v1/completions", { prompt: [-1] }],
    ["/v1/completions", { prompt: "hi", logprobs: 6 }],
    ["/v1/completions", { prompt: "hi", echo: true }],
    ["/v1/completions", { prompt: "hi", best_of: 1 }],
  ])("%s says of %j what the gateway says", async (path, body) => {
    await using gateway = new ServedGateway({ commits: [[65]] });
    const { status } = await gateway.post(path, body);
    expect(fits(path, body) ? 200 : 400).toBe(status);
  });
});

test("streams are as described, with all that a request can ask of them", async () => {
  await using gateway = new ServedGateway({ commits: [[65, 66], [67], [68, 69]] });
  const chat = { messages: [{ role: "user", content: "hi" }], stream: true, n: 2 };
  const all = {
    stream_options: { include_usage: true },
    flowmesh: { commits: true, timings: true, policy: "autoregressive" },
  };
  const told = { ...all, logprobs: true, top_logprobs: 2 };
  const completion = { prompt: "hi", stream: true, n: 2, ...all, logprobs: 2 };
  for (const [path, body] of [
    ["/v1/chat/completions", chat],
    ["/v1/chat/completions", { ...chat, ...told }],
    ["/v1/completions", completion],
  ] as const) {
    const response = await gateway.post(path, body);
    const text = await response.clone().text();
    expect(text).toEndWith("data: [DONE]\n\n");
    const request = new Request(`${gateway.url}${path}`, { method: "POST" });
    expect(api.problems(request, response, text)).toEqual([]);
  }
});

test("a live stream is as described from its first event on", async () => {
  await using gateway = new ServedGateway();
  const url = `${gateway.url}/live?name=${LIVE_NAME}`;
  const abort = new AbortController();
  const response = await fetch(url, { signal: abort.signal });
  const { value } = (await response.body?.getReader().read()) ?? {};
  const text = new TextDecoder().decode(value);
  expect(text).toBe("data: []\n\n");
  expect(api.problems(new Request(url), response, text)).toEqual([]);
  abort.abort();
});
