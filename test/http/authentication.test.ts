import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import OpenAI from "openai";
import { type ApiKey, findKey, hashKey, type KeyRing } from "../../http/api-keys.ts";
import { RateLimits } from "../../http/rate-limits.ts";
import { SimulatedClock } from "../simulated-clock.ts";
import { bytes } from "./byte-text.ts";
import { ServedGateway } from "./served-gateway.ts";

const SECRET = "fm-secret";
const MINUTE_MS = 60_000;

const keyOf = (key: string, limits: Partial<ApiKey> = {}): ApiKey => ({
  name: "me",
  sha256: hashKey(key),
  created: "2026-01-01T00:00:00Z",
  ...limits,
});
const ring = (...keys: ApiKey[]): KeyRing => ({ keys: () => keys });
const ANSWER = { commits: [bytes("hi")] };
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

describe("a gateway with keys", () => {
  const PROTECTED = ["/v1/models", "/v1/chat/completions", "/v1/completions", "/live", "/metrics"];

  test("answers nobody without one, in the words of OpenAI's API, and asks nothing of the mesh", async () => {
    await using gateway = new ServedGateway(ANSWER, { keys: ring(keyOf(SECRET)) });
    for (const path of PROTECTED) {
      const cases: [Record<string, string>, string][] = [
        [{}, "missing_api_key"],
        [{ authorization: `Basic ${SECRET}` }, "missing_api_key"],
        [{ authorization: "Bearer fm-wrong" }, "invalid_api_key"],
      ];
      for (const [headers, code] of cases) {
        const method = path.includes("completions") ? "POST" : "GET";
        const response = await fetch(`${gateway.url}${path}`, { method, headers });
        expect({ path, status: response.status }).toEqual({ path, status: 401 });
        expect(response.headers.get("www-authenticate")).toBe("Bearer");
        const { error } = await response.json();
        expect(error).toMatchObject({ type: "authentication_error", param: null, code });
      }
    }
    expect(gateway.sessions.opened).toEqual([]);
    expect((await fetch(`${gateway.url}/health`)).status).toBe(200);
  });

  test("answers OpenAI's client with one", async () => {
    await using gateway = new ServedGateway(ANSWER, { keys: ring(keyOf("fm-other"), keyOf(SECRET)) });
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: SECRET, maxRetries: 0 });
    const reply = await client.chat.completions.create({
      model: "default",
      messages: [{ role: "user", content: "?" }],
    });
    expect(reply.choices[0]?.message.content).toBe("hi");
    const wrong = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "fm-wrong", maxRetries: 0 });
    const refusal = await wrong.models.list().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(OpenAI.AuthenticationError);
  });

  test("refuses more requests a minute than a key may make, says when to come again, and lets others in", async () => {
    const clock = new SimulatedClock();
    const keys = ring(keyOf(SECRET, { requestsPerMinute: 2 }), keyOf("fm-other"));
    await using gateway = new ServedGateway(ANSWER, { keys, clock });
    const ask = (key: string) =>
      gateway.post(
        "/v1/completions",
        { prompt: "?" },
        { headers: { "content-type": "application/json", authorization: `Bearer ${key}` } },
      );
    const first = await ask(SECRET);
    expect(first.status).toBe(200);
    expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2");
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1");
    expect((await ask(SECRET)).status).toBe(200);
    const refused = await ask(SECRET);
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("30");
    expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    const { error } = await refused.json();
    expect(error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded" });
    expect(error.message).toContain("2 requests a minute; try again in 30 s");
    expect((await ask("fm-other")).status).toBe(200);
    expect((await fetch(`${gateway.url}/v1/models`, bearer(SECRET))).status).toBe(200);
    clock.setTimer(30_000, () => {});
    clock.step();
    expect((await ask(SECRET)).status).toBe(200);
  });

  test("counts tokens of prompts and answers", async () => {
    const clock = new SimulatedClock();
    const prompt = "0123456789";
    const keys = ring(keyOf(SECRET, { tokensPerMinute: 20 }));
    await using gateway = new ServedGateway(ANSWER, { keys, clock });
    const ask = () =>
      gateway.post(
        "/v1/completions",
        { prompt },
        { headers: { "content-type": "application/json", authorization: `Bearer ${SECRET}` } },
      );
    const { usage } = await (await ask()).json();
    expect(usage.total_tokens).toBe(12);
    const second = await ask();
    expect(second.headers.get("x-ratelimit-remaining-tokens")).toBe("8");
    const refused = await ask();
    expect(refused.status).toBe(429);
    // 4 tokens too many were taken, and 1 has to be there: 5 of 20 a minute.
    expect(refused.headers.get("retry-after")).toBe("15");
  });
});

test("web pages of other hosts may use the API only if they were named", async () => {
  const preflight = (url: string, origin: string) =>
    fetch(`${url}/v1/models`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "GET" },
    });
  await using closed = new ServedGateway(ANSWER);
  expect(
    (await preflight(closed.url, "https://chat.example.org")).headers.get("access-control-allow-origin"),
  ).toBeNull();
  await using open = new ServedGateway(ANSWER, {
    allowedOrigins: ["https://chat.example.org"],
    keys: ring(keyOf(SECRET)),
  });
  const allowed = await preflight(open.url, "https://chat.example.org");
  expect(allowed.status).toBe(204);
  expect(allowed.headers.get("access-control-allow-origin")).toBe("https://chat.example.org");
  expect(
    (await preflight(open.url, "https://evil.example.org")).headers.get("access-control-allow-origin"),
  ).toBeNull();
  const refused = await fetch(`${open.url}/v1/models`, { headers: { origin: "https://chat.example.org" } });
  expect(refused.status).toBe(401);
  expect(refused.headers.get("access-control-allow-origin")).toBe("https://chat.example.org");
});

test("answers carry headers that browsers need to be safe", async () => {
  await using gateway = new ServedGateway(ANSWER);
  for (const path of ["/v1/models", "/health", "/nothing"]) {
    const { headers } = await fetch(`${gateway.url}${path}`);
    expect({ path, nosniff: headers.get("x-content-type-options") }).toEqual({ path, nosniff: "nosniff" });
    expect(headers.get("x-frame-options")).toBe("SAMEORIGIN");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  }
});

test("a key is found by what it is, among any others", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1 }),
      fc.string(),
      (secrets, stranger) => {
        const keys = secrets.map((secret, i) => ({ ...keyOf(secret), name: `key-${i}` }));
        for (const [i, secret] of secrets.entries()) expect(findKey(keys, secret)?.name).toBe(`key-${i}`);
        expect(findKey(keys, stranger) === undefined).toBe(!secrets.includes(stranger));
      },
    ),
  );
});

test("in any minute a key makes at most twice its limit, and a patient one always gets on", () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 5000 }), { minLength: 50, maxLength: 300 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), gaps, (limit, waits) => {
      const clock = new SimulatedClock();
      const limits = new RateLimits(clock);
      const key = keyOf(SECRET, { requestsPerMinute: limit });
      const admitted: number[] = [];
      for (const wait of waits) {
        clock.setTimer(wait, () => {});
        clock.step();
        const { waitMs } = limits.admit(key);
        if (waitMs === 0) {
          admitted.push(clock.now());
          continue;
        }
        clock.setTimer(waitMs + 0.001, () => {});
        clock.step();
        expect(limits.admit(key).waitMs).toBe(0);
        admitted.push(clock.now());
      }
      for (const from of admitted) {
        const inMinute = admitted.filter((at) => at >= from && at < from + MINUTE_MS).length;
        expect(inMinute).toBeLessThanOrEqual(2 * limit);
      }
    }),
  );
});
