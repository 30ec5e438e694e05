import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventData } from "../../http/event-data.ts";
import { openapiDocument } from "../../http/openapi/document.ts";
import { DescribedApi } from "../http/described-api.ts";
import { KeyedMesh } from "./keyed-mesh.ts";

const MINUTES = 60_000;
/** Installing the packages, the first time. */
const INSTALL_MS = 8 * MINUTES;

let mesh: KeyedMesh;
beforeAll(
  async () => {
    mesh = await KeyedMesh.start();
  },
  INSTALL_MS + 2 * MINUTES,
);
afterAll(async () => {
  await mesh[Symbol.asyncDispose]();
});

test(
  "GET /openapi.json is OpenAPI 3.1",
  async () => {
    const { code, output } = await mesh.validate(MINUTES);
    expect(output).toEndWith("OK\n");
    expect(code).toBe(0);
  },
  2 * MINUTES,
);

test(
  "requests made from it, right and wrong, are answered as it says: none with 5xx, none not at all",
  async () => {
    // The short form of api-fuzz-script.ts: the same requests each time.
    const short = ["--phases", "examples,fuzzing", "--max-examples", "8", "--seed", "8", "--no-shrink"];
    const { code, output } = await mesh.fuzz(short, 2 * MINUTES);
    expect(output).toContain("No issues found");
    expect(Number(output.match(/(\d+) generated/)?.[1])).toBeGreaterThan(50);
    expect(code).toBe(0);
  },
  3 * MINUTES,
);

test(
  "what is told of a real answer while it comes is as it says",
  async () => {
    const name = "the-answer-of-this-test";
    const watching = await mesh.request(`/live?name=${name}`);
    const events: { type: string }[] = [];
    const known = Promise.withResolvers<void>();
    const untilEnd = (async () => {
      for await (const data of eventData(watching.body!)) {
        events.push(...JSON.parse(data));
        if (events.some(({ type }) => type === "mesh")) known.resolve();
        if (events.some(({ type }) => type === "ended")) return;
      }
    })();
    // Nobody has watched before, so the actors are counted first.
    await known.promise;
    const body = {
      prompt: "one two one two one two",
      max_tokens: 20,
      temperature: 0,
      flowmesh: { live: name },
    };
    expect((await mesh.request("/v1/completions", body)).status).toBe(200);
    await untilEnd;
    const types = new Set(events.map(({ type }) => type));
    for (const type of ["mesh", "opened", "sent", "worked", "committed", "ended"])
      expect(types).toContain(type);
    const api = new DescribedApi(openapiDocument());
    const misfit = (event: object) => api.misfit({ $ref: "#/components/schemas/LiveEvent" }, event);
    expect(events.flatMap((event) => misfit(event) ?? [])).toEqual([]);
  },
  MINUTES,
);

test(
  "openai for Python: models, chats, completions, tools, formats and errors",
  async () => {
    const { code, output } = await mesh.run("openai_client_test.py", 2 * MINUTES);
    expect(output).toMatch(/Ran \d+ tests[\s\S]*OK/);
    expect(code).toBe(0);
  },
  3 * MINUTES,
);
