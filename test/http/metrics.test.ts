import { describe, expect, test } from "bun:test";
import { SimulatedClock } from "../simulated-clock.ts";
import { bytes, END_TOKEN } from "./byte-text.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const question = { model: "default", messages: [{ role: "user" as const, content: "hi" }] };

/** Every sample of the exposition by its name with labels, read by the format's own rules. */
async function samples(gateway: ServedGateway): Promise<Map<string, number>> {
  const response = await fetch(`${gateway.url}/metrics`);
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  const found = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^([a-z_:][a-z0-9_:]*(?:\{[^}]*\})?) (\S+)$/i.exec(line);
    if (!match?.[1]) throw new Error(`not a sample: ${line}`);
    expect(Number.isNaN(Number(match[2]))).toBe(false);
    found.set(match[1], Number(match[2]));
  }
  return found;
}

describe("GET /metrics", () => {
  test("counts what happened", async () => {
    const clock = new SimulatedClock();
    const sessions = new ScriptedSessions((request) => ({
      commits: [bytes("a"), bytes("bcd"), [...bytes("ef"), ...request.stopTokens]],
    }));
    await using gateway = new ServedGateway(sessions, { clock });
    await gateway.client.chat.completions.create(question);
    await gateway.client.chat.completions.stream(question).finalContent();
    await gateway.client.completions.create({ model: "default", prompt: "12345", max_tokens: 2 });
    await gateway.client.chat.completions.create({ ...question, stop: "c" });
    await gateway.post("/v1/chat/completions", { ...question, n: 0 });
    await fetch(`${gateway.url}/favicon.ico`);
    await fetch(`${gateway.url}/wp-login.php`);
    await gateway.client.models.retrieve("tiny-model");

    const found = await samples(gateway);
    const requests = (method: string, route: string, status: number) =>
      found.get(`flowmesh_http_requests_total{method="${method}",route="${route}",status="${status}"}`);
    expect(requests("POST", "/v1/chat/completions", 200)).toBe(3);
    expect(requests("POST", "/v1/chat/completions", 400)).toBe(1);
    expect(requests("POST", "/v1/completions", 200)).toBe(1);
    expect(requests("GET", "/v1/models/:id", 200)).toBe(1);
    expect(requests("GET", "unmatched", 404)).toBe(2);

    const all = sessions.opened.map((session) => session.stats);
    const sum = (key: keyof (typeof all)[number]) =>
      all.reduce((total, stats) => total + (stats[key] ?? 0), 0);
    expect(all).toHaveLength(4);
    expect(found.get("flowmesh_prompt_tokens_total")).toBe(sum("promptTokens"));
    expect(found.get("flowmesh_generation_tokens_total")).toBe(sum("completionTokens"));
    expect(found.get("flowmesh_spec_decode_num_drafts_total")).toBe(sum("commits"));
    expect(found.get("flowmesh_spec_decode_num_draft_tokens_total")).toBe(sum("draftTokens"));
    expect(found.get("flowmesh_spec_decode_num_accepted_tokens_total")).toBe(sum("acceptedTokens"));
    expect(found.get("flowmesh_segments_total")).toBe(sum("segments"));
    expect(found.get("flowmesh_commit_tokens_count")).toBe(sum("commits"));
    expect(found.get("flowmesh_commit_tokens_sum")).toBe(sum("completionTokens"));
    expect(found.get("flowmesh_time_to_first_token_seconds_count")).toBe(4);
    expect(found.get("flowmesh_inter_commit_seconds_count")).toBe(sum("commits") - 4);
    expect(found.get('flowmesh_sessions_total{reason="stop"}')).toBe(3);
    expect(found.get('flowmesh_sessions_total{reason="length"}')).toBe(1);
    expect(found.get("flowmesh_sessions_active")).toBe(0);
    expect(found.get("process_resident_memory_bytes")).toBeGreaterThan(1e6);
    expect(found.get("process_cpu_seconds_total")).toBeGreaterThan(0);
  });

  test("times run from the request to the first commit, then from commit to commit", async () => {
    const clock = new SimulatedClock();
    const sessions = new ScriptedSessions({ commits: [] });
    const open = sessions.open.bind(sessions);
    sessions.open = async (request) => {
      await clock.advance(300);
      const session = await open(request);
      return {
        id: session.id,
        ended: Promise.resolve({ reason: "stop", stats: sessions.last.stats }),
        cancel: () => {},
        commits: (async function* () {
          await clock.advance(200);
          yield { tokens: bytes("a") };
          await clock.advance(50);
          yield { tokens: bytes("b") };
          await clock.advance(10);
          yield { tokens: [END_TOKEN] };
        })(),
      };
    };
    await using gateway = new ServedGateway(sessions, { clock });
    await gateway.client.chat.completions.create(question);
    const found = await samples(gateway);
    expect(found.get("flowmesh_time_to_first_token_seconds_sum")).toBeCloseTo(0.5);
    expect(found.get("flowmesh_inter_commit_seconds_sum")).toBeCloseTo(0.06);
  });

  test("an open session is active until it ends", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("a")], end: "never" });
    const stream = await gateway.client.chat.completions.create({ ...question, stream: true });
    expect((await samples(gateway)).get("flowmesh_sessions_active")).toBe(1);
    const left = gateway.sessions.last.cancelled.promise;
    stream.controller.abort();
    await left;
    while ((await samples(gateway)).get("flowmesh_sessions_active") !== 0);
  });

  test("a mesh that never confirms a cancellation holds the answer for a bounded time only", async () => {
    const clock = new SimulatedClock();
    const sessions = new ScriptedSessions({ commits: [bytes("a.b")], end: "never" });
    sessions.confirmsCancel = false;
    await using gateway = new ServedGateway(sessions, { clock });
    const answer = gateway.client.chat.completions.create({ ...question, seed: 5, stop: "." });
    const settled = Promise.resolve(answer);
    while (sessions.opened[0]?.cancelReasons.length !== 1)
      await new Promise((resolve) => setImmediate(resolve));
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1000);
    const completion = await settled;
    expect(completion.choices[0]?.message.content).toBe("a");
    expect(completion).toHaveProperty("flowmesh", { seed: 5, commits: 1 });
    expect((await samples(gateway)).get("flowmesh_sessions_active")).toBe(0);
  });
});
