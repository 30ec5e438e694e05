import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bytes, END_TOKEN } from "./byte-text.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const question = { model: "default", messages: [{ role: "user" as const, content: "hi" }] };
const asked = { ...question, logprobs: true, top_logprobs: 2 };

const entry = (token: number, logprob: number) => ({
  token: new TextDecoder().decode(Uint8Array.of(token)),
  logprob,
  bytes: [token],
});
const expected = (tokens: readonly number[]) =>
  tokens.map((token) => ({
    ...entry(token, -token / 100),
    top_logprobs: [entry(65, 0), entry(66, -1)].map((one, rank) => ({ ...one, logprob: 0 - rank })),
  }));

/** Chunks of a stream, as the client parses them. */
async function streamed(gateway: ServedGateway, body: object) {
  const stream = await gateway.client.chat.completions.create({ ...asked, ...body, stream: true });
  return Array.fromAsync(stream);
}

describe("log-probabilities", () => {
  test("are asked of the mesh only when the request wants them", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    await gateway.client.chat.completions.create(question);
    expect(gateway.sessions.last.request).not.toHaveProperty("topLogprobs");
    await gateway.client.chat.completions.create({ ...question, logprobs: true });
    expect(gateway.sessions.last.request.topLogprobs).toBe(0);
  });

  test("one entry a token, also when one commit brings several and characters are cut", async () => {
    const tokens = bytes("aé🙂z");
    await using gateway = new ServedGateway({ commits: [tokens.slice(0, 4), tokens.slice(4), [END_TOKEN]] });
    const whole = await gateway.client.chat.completions.create(asked);
    expect(whole.choices[0]?.logprobs).toEqual({ content: expected(tokens), refusal: null });
    const final = await gateway.client.chat.completions.stream(asked).finalChatCompletion();
    expect(final.choices[0]?.logprobs?.content).toEqual(expected(tokens));
  });

  test("go out with the text that they belong to, and end where a stop string cuts", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 12 }),
        async (text, sizes) => {
          const tokens = bytes(text);
          const commits = sizes.map((size) => tokens.splice(0, size)).filter((commit) => commit.length > 0);
          await using gateway = new ServedGateway({ commits: [...commits, [...tokens, END_TOKEN]] });
          const chunks = await streamed(gateway, { stop: "ab" });
          const shown = text.split("ab")[0] ?? "";
          let content = "";
          let told: number[] = [];
          for (const { choices } of chunks) {
            content += choices[0]?.delta.content ?? "";
            told = [...told, ...(choices[0]?.logprobs?.content ?? []).flatMap((one) => one.bytes ?? [])];
            // Never ahead of the text.
            expect(bytes(content).slice(0, told.length)).toEqual(told);
          }
          expect(content).toBe(shown);
          expect(told).toEqual(bytes(shown));
        },
      ),
      { numRuns: 40 },
    );
  });

  test("completions tell them as parallel arrays", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("xy"), [...bytes("z"), END_TOKEN]] });
    const completion = await gateway.client.completions.create({
      model: "default",
      prompt: "p",
      logprobs: 1,
    });
    expect(completion.choices[0]?.logprobs).toEqual({
      tokens: ["x", "y", "z"],
      token_logprobs: [-1.2, -1.21, -1.22],
      top_logprobs: [{ A: 0 }, { A: 0 }, { A: 0 }],
      text_offset: [0, 1, 2],
    });
  });
});

describe("what a request may ask of the flowmesh key", () => {
  test("tokens of each commit and when it came, beside the text that it brought", async () => {
    await using gateway = new ServedGateway(
      new ScriptedSessions({
        commits: [bytes("abc"), bytes("é").slice(0, 1), bytes("é").slice(1), [END_TOKEN]],
      }),
    );
    const body = { ...question, stream: true, flowmesh: { commits: true, timings: true } };
    const text = await (await gateway.post("/v1/chat/completions", body)).text();
    const chunks = text
      .split("\n\n")
      .filter((event) => event.startsWith("data: {"))
      .map((event) => JSON.parse(event.slice(6)));
    const notes = chunks.filter(({ choices, flowmesh }) => choices.length > 0 && flowmesh !== undefined);
    expect(notes.map(({ flowmesh }) => flowmesh.commit_tokens)).toEqual([[3], [1, 1], [1]]);
    for (const { flowmesh } of notes) expect(flowmesh.commit_ms).toHaveLength(flowmesh.commit_tokens.length);
    const { choices, flowmesh } = chunks.at(-1);
    expect(choices).toEqual([]);
    expect(flowmesh).toMatchObject({
      commits: 4,
      timings: { first_token_ms: notes[0].flowmesh.commit_ms[0] },
    });
    const whole = await gateway.post("/v1/chat/completions", { ...body, stream: false });
    expect(await whole.json()).toMatchObject({ flowmesh: { commit_tokens: [3, 1, 1, 1] } });
  });

  test("a session without drafts, and numerics to insist on", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const response = await gateway.post("/v1/chat/completions", {
      ...question,
      flowmesh: { drafter: "none", numerics: "exact" },
    });
    expect(response.status).toBe(200);
    expect(gateway.sessions.last.request.drafter).toBe("none");
  });
});
