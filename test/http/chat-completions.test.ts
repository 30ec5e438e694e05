import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { ByteText, bytes, END_TOKEN } from "./byte-text.ts";
import { eventData } from "./described-api.ts";
import { DRAFTED_PER_COMMIT, ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const question = { model: "tiny-model", messages: [{ role: "user" as const, content: "Tell me." }] };

/** An answer with every UTF-8 length, cut inside characters: 1 byte, then 2, then 3, and so on. */
const ANSWER = "Häuser, 世界 and 🙂👩‍👩‍👧!";
const commitsOf = (text: string, ...ending: number[]): number[][] => {
  const tokens = [...bytes(text), ...ending];
  const commits: number[][] = [];
  for (let size = 1; tokens.length > 0; size = (size % 5) + 1) commits.push(tokens.splice(0, size));
  return commits;
};

async function chunksOf(gateway: ServedGateway, body: object) {
  const response = await gateway.post("/v1/chat/completions", { ...question, stream: true, ...body });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const data = eventData(await response.text());
  expect(data.pop()).toBe("[DONE]");
  return data.map((one) => JSON.parse(one));
}

describe("streaming chat completions", () => {
  test("the openai client's helper puts the answer together", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf(ANSWER, END_TOKEN) });
    const stream = gateway.client.chat.completions.stream({
      ...question,
      stream_options: { include_usage: true },
    });
    const pieces: string[] = [];
    stream.on("content", (delta) => pieces.push(delta));
    const completion = await stream.finalChatCompletion();
    expect(pieces.join("")).toBe(ANSWER);
    expect(completion.choices[0]?.message).toMatchObject({ role: "assistant", content: ANSWER });
    expect(completion.choices[0]?.finish_reason).toBe("stop");
    expect(completion.model).toBe("tiny-model");
    const prompt = bytes("[user]Tell me.\n").length;
    const answer = bytes(ANSWER).length + 1;
    expect(completion.usage).toEqual({
      prompt_tokens: prompt,
      completion_tokens: answer,
      total_tokens: prompt + answer,
      prompt_tokens_details: { cached_tokens: 3 },
    });
  });

  test("chunks have one id, one time, the role first, an empty last delta, and no usage unasked", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf(ANSWER, END_TOKEN) });
    const chunks = await chunksOf(gateway, {});
    const [first, last] = [chunks[0], chunks.at(-1)];
    for (const chunk of chunks) {
      const { id, created, model, system_fingerprint } = first;
      expect(chunk).toMatchObject({
        id,
        created,
        model,
        system_fingerprint,
        object: "chat.completion.chunk",
      });
      expect(chunk.choices).toHaveLength(1);
      expect(chunk.choices[0].index).toBe(0);
      expect(chunk).not.toHaveProperty("usage");
      expect(chunk).not.toHaveProperty("flowmesh");
      if (chunk !== last) expect(chunk.choices[0].finish_reason).toBeNull();
      if (chunk !== first) expect(chunk.choices[0].delta).not.toHaveProperty("role");
    }
    expect(first.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
    expect(first.choices[0].delta).toEqual({ role: "assistant", content: "" });
    expect(last.choices[0]).toMatchObject({ delta: {}, finish_reason: "stop" });
  });

  test("one chunk carries all the text of a commit", async () => {
    await using gateway = new ServedGateway({
      commits: [bytes("One "), bytes("two three "), bytes("fo"), [...bytes("ur."), END_TOKEN]],
    });
    const chunks = await chunksOf(gateway, {});
    const contents = chunks.slice(1, -1).map((chunk) => chunk.choices[0].delta.content);
    expect(contents).toEqual(["One ", "two three ", "fo", "ur."]);
  });

  test("usage, when asked for, is null on all chunks but a last one without choices", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("ab"), bytes("c"), [END_TOKEN]] });
    const chunks = await chunksOf(gateway, { seed: 7, stream_options: { include_usage: true } });
    const usage = chunks.pop();
    for (const chunk of chunks) expect(chunk.usage).toBeNull();
    expect(usage.choices).toEqual([]);
    expect(usage.usage).toMatchObject({ completion_tokens: 4 });
    expect(usage.flowmesh).toEqual({
      seed: 7,
      commits: 3,
      draft_tokens: 3 * DRAFTED_PER_COMMIT,
      accepted_tokens: 1,
      segments: 6,
    });
  });

  test("any text in any grouping arrives whole, each event valid UTF-8", async () => {
    const sessions = new ScriptedSessions((request) => ({ commits: [...next, request.stopTokens] }));
    let next: number[][] = [];
    await using gateway = new ServedGateway(sessions);
    // Room for the longest text: some graphemes take dozens of bytes.
    gateway.sessions.state = { ...gateway.sessions.state, contextLength: 10_000 };
    const grapheme = fc.string({ unit: "grapheme", maxLength: 24 });
    await fc.assert(
      fc.asyncProperty(
        grapheme,
        fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 60 }),
        async (text, sizes) => {
          const tokens = bytes(text);
          next = sizes.map((size) => tokens.splice(0, size)).filter((commit) => commit.length > 0);
          if (tokens.length > 0) next.push(tokens);
          const chunks = await chunksOf(gateway, {});
          const contents = chunks.slice(1, -1).map((chunk) => chunk.choices[0].delta.content);
          expect(contents.join("")).toBe(text);
          for (const content of contents) expect(content.isWellFormed()).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a character that never became whole is one U+FFFD at the end", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("ok 🙂").slice(0, 5)] });
    const chunks = await chunksOf(gateway, { max_tokens: 5 });
    const contents = chunks.slice(1, -1).map((chunk) => chunk.choices[0].delta.content);
    expect(contents).toEqual(["ok ", "\uFFFD"]);
    expect(chunks.at(-1).choices[0].finish_reason).toBe("length");
  });

  test("what a commit holds beyond the end token is not shown", async () => {
    const commits = [bytes("Yes"), [END_TOKEN, ...bytes(" no")]];
    const sessions = new ScriptedSessions({ commits });
    const open = sessions.open.bind(sessions);
    // A mesh that does not cut its last commit: the gateway must.
    sessions.open = async (request) => {
      const session = await open(request);
      return {
        id: session.id,
        ended: session.ended,
        cancel: (reason) => session.cancel(reason),
        commits: (async function* () {
          for await (const _ of session.commits);
          for (const tokens of commits) yield { tokens };
        })(),
      };
    };
    await using gateway = new ServedGateway(sessions);
    const completion = await gateway.client.chat.completions.create(question);
    expect(completion.choices[0]?.message.content).toBe("Yes");
    expect(completion.usage?.completion_tokens).toBe(4);
  });

  test("many at once do not mix", async () => {
    const sessions = new ScriptedSessions((request) => ({
      commits: commitsOf(new TextDecoder().decode(Uint8Array.from(request.prompt)).repeat(3), END_TOKEN),
    }));
    await using gateway = new ServedGateway(sessions);
    const answers = await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const content = `Q${index} é世🙂`;
        const stream = gateway.client.chat.completions.stream({
          model: "default",
          messages: [{ role: "user", content }],
        });
        return { content, answer: await stream.finalContent() };
      }),
    );
    for (const { content, answer } of answers) expect(answer).toBe(`[user]${content}\n`.repeat(3));
    const ids = sessions.opened.map((session) => session.request.sampling.seed);
    expect(new Set(ids).size).toBe(24);
  });
});

describe("whole chat completions", () => {
  test("give the same text, usage and how speculation went", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf(ANSWER, END_TOKEN) });
    const completion = await gateway.client.chat.completions.create({ ...question, seed: 11 });
    expect(completion).toMatchObject({
      object: "chat.completion",
      model: "tiny-model",
      choices: [
        { index: 0, finish_reason: "stop", logprobs: null, message: { role: "assistant", content: ANSWER } },
      ],
    });
    const { stats } = gateway.sessions.last;
    expect(completion).toHaveProperty("flowmesh", {
      seed: 11,
      commits: stats.commits,
      draft_tokens: stats.draftTokens,
      accepted_tokens: stats.acceptedTokens,
      segments: stats.segments,
    });
    expect(completion.usage?.total_tokens).toBe(stats.promptTokens + stats.completionTokens);
  });

  test("end with length at the token bound", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf("a long answer") });
    const completion = await gateway.client.chat.completions.create({
      ...question,
      max_completion_tokens: 6,
    });
    expect(completion.choices[0]).toMatchObject({ finish_reason: "length", message: { content: "a long" } });
    expect(completion.usage?.completion_tokens).toBe(6);
  });

  test("the fingerprint changes with the arithmetic, and only then", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const fingerprint = async () =>
      (await gateway.client.chat.completions.create(question)).system_fingerprint;
    const exact = await fingerprint();
    expect(await fingerprint()).toBe(exact);
    gateway.sessions.state = { ...gateway.sessions.state, arithmetic: "aaaa0000" };
    const onOneProcessor = await fingerprint();
    gateway.sessions.state = { ...gateway.sessions.state, arithmetic: "bbbb1111" };
    const onAnother = await fingerprint();
    gateway.sessions.state = { ...gateway.sessions.state, numerics: "fast" };
    expect(new Set([exact, onOneProcessor, onAnother, await fingerprint()]).size).toBe(4);
  });
});

describe("what a session is asked for", () => {
  test("follows OpenAI's defaults, with a seed drawn for each request and told", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const seeds = new Set<number>();
    for (let index = 0; index < 8; index++) {
      const completion = await gateway.client.chat.completions.create(question);
      const { request } = gateway.sessions.last;
      expect(request.sampling).toEqual({ ...GREEDY, temperature: 1, seed: request.sampling.seed });
      expect(completion).toHaveProperty("flowmesh.seed", request.sampling.seed);
      expect(Number.isSafeInteger(request.sampling.seed)).toBe(true);
      seeds.add(request.sampling.seed);
      const prompt = new ByteText().encodeChat(question.messages);
      expect(request.prompt).toEqual(prompt);
      expect(request.stopTokens).toEqual([END_TOKEN]);
      expect(request.maxTokens).toBe(400 - prompt.length);
      expect(request.policy).toBeUndefined();
    }
    expect(seeds.size).toBe(8);
  });

  test("carries every parameter", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const response = await gateway.post("/v1/chat/completions", {
      messages: [
        { role: "developer", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
      ],
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      repetition_penalty: 1.1,
      presence_penalty: -2,
      frequency_penalty: 0.25,
      logit_bias: { "7": -100, "256": 1.5 },
      seed: -3,
      max_tokens: 99,
      max_completion_tokens: 12,
      flowmesh: { policy: "flowspec:total=40,segment=4" },
      user: "somebody",
      metadata: { of: "no effect" },
      tools: [],
      tool_choice: "auto",
      response_format: { type: "text" },
      logprobs: false,
      stop: null,
      n: 1,
    });
    expect(response.status).toBe(200);
    const { request } = gateway.sessions.last;
    expect(request).toMatchObject({
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.05,
        repetitionPenalty: 1.1,
        presencePenalty: -2,
        frequencyPenalty: 0.25,
        logitBias: [
          { token: 7, bias: -100 },
          { token: 256, bias: 1.5 },
        ],
        seed: 2 ** 53 - 3,
      },
      maxTokens: 12,
      policy: "flowspec:total=40,segment=4",
    });
    const prompt = new TextDecoder().decode(Uint8Array.from(request.prompt));
    expect(prompt).toBe("[system]Be brief.\n[user]a\nb\n");
  });

  test("the answer's bound is the context's end at most", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    await gateway.client.chat.completions.create({ ...question, max_tokens: 100_000 });
    const { request } = gateway.sessions.last;
    expect(request.maxTokens + request.prompt.length).toBe(400);
  });
});

describe("stop strings", () => {
  test("across commits, tokens and characters give what cutting the whole text gives", async () => {
    let next: number[][] = [];
    await using gateway = new ServedGateway(
      new ScriptedSessions(() => ({ commits: [...next, [END_TOKEN]] })),
    );
    const letters = (maxLength: number) =>
      fc.string({ unit: fc.constantFrom("a", "b", "世"), minLength: 1, maxLength });
    await fc.assert(
      fc.asyncProperty(
        fc.array(letters(6), { minLength: 1, maxLength: 8 }),
        fc.array(letters(3), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 7 }),
        async (words, stop, size) => {
          const text = words.join("");
          const tokens = bytes(text);
          next = [];
          while (tokens.length > 0) next.push(tokens.splice(0, size));
          const found = stop.map((one) => text.indexOf(one)).filter((at) => at >= 0);
          const whole = found.length === 0 ? text : text.slice(0, Math.min(...found));

          const plain = await gateway.client.chat.completions.create({ ...question, stop });
          const streamed = await gateway.client.chat.completions
            .stream({ ...question, stop, stream_options: { include_usage: true } })
            .finalChatCompletion();
          for (const completion of [plain, streamed]) {
            expect(completion.choices[0]?.message.content ?? "").toBe(whole);
            expect(completion.choices[0]?.finish_reason).toBe("stop");
          }
          expect(streamed.usage).toEqual(plain.usage);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("end the session at once, and count tokens up to the stop string whatever commits hold", async () => {
    for (const commits of [[bytes("one STOP two")], bytes("one STOP two").map((token) => [token])]) {
      await using gateway = new ServedGateway({ commits, end: "never" });
      const completion = await gateway.client.chat.completions.create({ ...question, stop: "STOP" });
      expect(completion.choices[0]?.message.content).toBe("one ");
      expect(completion.usage?.completion_tokens).toBe("one STOP".length);
      expect(gateway.sessions.last.cancelReasons).toEqual(["stop string"]);
    }
  });

  test("held-back text is shown when the answer ends without the rest", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("and ST"), [END_TOKEN]] });
    const chunks = await chunksOf(gateway, { stop: ["STOP"] });
    const contents = chunks.slice(1, -1).map((chunk) => chunk.choices[0].delta.content);
    expect(contents).toEqual(["and ", "ST"]);
  });
});
