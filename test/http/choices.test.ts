import { describe, expect, test } from "bun:test";
import { SessionError } from "../../actors/session-port.ts";
import { bytes, END_TOKEN } from "./byte-text.ts";
import { eventData } from "./described-api.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const question = { model: "default", messages: [{ role: "user" as const, content: "hi" }] };

/** Each seed has an answer of its own. */
const bySeed = () =>
  new ScriptedSessions(({ sampling }) => ({
    commits: [bytes(`seed ${sampling.seed}`), bytes("!"), [END_TOKEN]],
  }));

describe("n choices", () => {
  test("whole: one a seed, in order of their indices, usage in sum", async () => {
    await using gateway = new ServedGateway(bySeed());
    const completion = await gateway.client.chat.completions.create({ ...question, n: 3, seed: 5 });
    expect(completion.choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, "seed 5!"],
      [1, "seed 6!"],
      [2, "seed 7!"],
    ]);
    const prompt = bytes("[user]hi\n").length;
    expect(completion.usage).toMatchObject({ prompt_tokens: prompt, completion_tokens: 3 * 8 });
    expect(completion).toMatchObject({ flowmesh: { seed: 5, commits: 9 } });
  });

  test("a stream opens them in order, and the client's helper puts each together", async () => {
    await using gateway = new ServedGateway(bySeed());
    const body = { ...question, n: 3, seed: 5, stream: true };
    const chunks = eventData(await (await gateway.post("/v1/chat/completions", body)).text())
      .slice(0, -1)
      .map((data) => JSON.parse(data));
    expect(chunks.slice(0, 3).map(({ choices }) => choices[0].index)).toEqual([0, 1, 2]);
    const finished = chunks.filter(({ choices }) => choices[0].finish_reason !== null);
    expect(finished.map(({ choices }) => choices[0].index).sort()).toEqual([0, 1, 2]);
    const { choices } = await gateway.client.chat.completions
      .stream({ ...question, n: 3, seed: 5 })
      .finalChatCompletion();
    expect(choices.map(({ message }) => message.content)).toEqual(["seed 5!", "seed 6!", "seed 7!"]);
  });

  test("completions have them, too", async () => {
    await using gateway = new ServedGateway(bySeed());
    const { choices } = await gateway.client.completions.create({
      model: "default",
      prompt: "hi",
      n: 2,
      seed: 8,
    });
    expect(choices.map(({ text }) => text)).toEqual(["seed 8!", "seed 9!"]);
  });

  test("when one can't be opened, the others are given up and none is left", async () => {
    const sessions = bySeed();
    const open = sessions.open.bind(sessions);
    sessions.open = (request) =>
      request.sampling.seed === 6 ? Promise.reject(new SessionError("busy", "full")) : open(request);
    await using gateway = new ServedGateway(sessions);
    const response = await gateway.post("/v1/chat/completions", { ...question, n: 3, seed: 5 });
    expect(response.status).toBe(429);
    expect(sessions.opened).toHaveLength(2);
    for (const session of sessions.opened) expect(session.cancelReasons).not.toEqual([]);
    expect(await gateway.metrics.registry.metrics()).toMatch(/^flowmesh_sessions_active 0$/m);
  });

  test("when one fails, the answer fails and the others end", async () => {
    const sessions = new ScriptedSessions(({ sampling }) =>
      sampling.seed === 6
        ? { commits: [], end: "error", message: "a stage is gone" }
        : { commits: [bytes("a")], end: "never" },
    );
    await using gateway = new ServedGateway(sessions);
    const response = await gateway.post("/v1/chat/completions", { ...question, n: 2, seed: 5 });
    expect(response.status).toBe(500);
    expect(await gateway.metrics.registry.metrics()).toMatch(/^flowmesh_sessions_active 0$/m);
  });
});
