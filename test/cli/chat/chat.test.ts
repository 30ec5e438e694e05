import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import * as v from "valibot";
import { SessionError } from "../../../actors/session-port.ts";
import { answerRecordSchema } from "../../../cli/chat/answer-record.ts";
import { type ChatOptions, runChat } from "../../../cli/chat/chat.ts";
import { GatewayError } from "../../../http/chat-client.ts";
import { bytes, END_TOKEN } from "../../http/byte-text.ts";
import { ScriptedSessions } from "../../http/scripted-sessions.ts";
import { ServedGateway } from "../../http/served-gateway.ts";

const FIGURES =
  /^(\d+) tokens in \d+\.\d s: \d+\.\d tokens\/s \| first after \d+\.\d\d s \| (\d+\.\d\d) tokens per commit/m;

/** A terminal of the test's own: what was written, and a promise for text that is to appear. */
class Screen extends PassThrough {
  text = "";
  readonly isTTY: boolean;

  constructor(isTTY = false) {
    super();
    this.isTTY = isTTY;
    this.on("data", (chunk: Buffer) => {
      this.text += chunk.toString();
      this.emit("shown");
    });
  }

  async shows(wanted: string | RegExp): Promise<void> {
    while (this.text.search(wanted) < 0) await new Promise((resolve) => this.once("shown", resolve));
  }
}

function chat(url: string, more: Partial<ChatOptions> = {}, isTTY = false) {
  const stdin = Object.assign(new PassThrough(), { isTTY });
  const stdout = new Screen(isTTY);
  const stderr = new Screen();
  const stop = new AbortController();
  const done = runChat({ url, model: "default", stdin, stdout, stderr, signal: stop.signal, ...more });
  return { stdin, stdout, stderr, stop, done };
}

const promptsOf = (sessions: ScriptedSessions): string[] =>
  sessions.opened.map(({ request }) => new TextDecoder().decode(Uint8Array.from(request.prompt)));

describe("one question", () => {
  test("is answered on stdout; the figures go to stderr", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("It is"), bytes(" 世界"), [END_TOKEN]] });
    const { stdout, stderr, done } = chat(gateway.url, {
      prompt: "What?",
      policy: "autoregressive",
      temperature: 0,
      topP: 0.5,
      topK: 3,
      minP: 0.1,
      repetitionPenalty: 1.1,
      presencePenalty: 0.2,
      frequencyPenalty: -0.3,
      seed: 9,
      maxTokens: 50,
    });
    await done;
    expect(stdout.text).toBe("It is 世界\n");
    const [, tokens, perCommit] = FIGURES.exec(stderr.text) ?? [];
    expect(tokens).toBe("13");
    expect(perCommit).toBe((13 / 3).toFixed(2));
    expect(gateway.sessions.last.request).toMatchObject({
      sampling: {
        temperature: 0,
        topP: 0.5,
        topK: 3,
        minP: 0.1,
        repetitionPenalty: 1.1,
        presencePenalty: 0.2,
        frequencyPenalty: -0.3,
        seed: 9,
      },
      maxTokens: 50,
      policy: "autoregressive",
    });
    expect(promptsOf(gateway.sessions)).toEqual(["[user]What?\n"]);
  });

  test("says when the answer was cut off", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("too long")] });
    const { stderr, done } = chat(`${gateway.url}/`, { prompt: "x", maxTokens: 3 });
    await done;
    expect(stderr.text).toContain("cut off at its token limit");
  });

  test("is cancelled by the signal, at the gateway too", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("For ever")], end: "never" });
    const { stdout, stderr, stop, done } = chat(gateway.url, { prompt: "x" });
    await stdout.shows("For ever");
    stop.abort();
    await done;
    expect(stdout.text).toBe("For ever\n");
    expect(stderr.text).toBe("(cancelled)\n");
    await gateway.sessions.last.cancelled.promise;
  });

  test("without a gateway says how to start one", async () => {
    const gateway = new ServedGateway();
    await gateway[Symbol.asyncDispose]();
    const { done } = chat(gateway.url, { prompt: "x" });
    const error = await done.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GatewayError);
    expect(String(error)).toContain(gateway.url);
    expect(String(error)).toContain("./flowmesh up");
  });

  test("shows the gateway's own words when it refuses", async () => {
    await using gateway = new ServedGateway();
    const { done } = chat(gateway.url, { prompt: "x", model: "other" });
    await expect(done).rejects.toThrow(/answered 404: no model "other" here; .* tiny-model/);
    gateway.sessions.refusal = new SessionError("busy", "4 sessions run already");
    await expect(chat(gateway.url, { prompt: "x" }).done).rejects.toThrow("4 sessions run already");
  });

  test("shows what there was of an answer that failed, and why", async () => {
    await using gateway = new ServedGateway({
      commits: [bytes("Half")],
      end: "error",
      message: "stage 1 is gone",
    });
    const { stdout, done } = chat(gateway.url, { prompt: "x" });
    await expect(done).rejects.toThrow("stage 1 is gone");
    expect(stdout.text).toBe("Half\n");
  });

  test.each([
    ["other text", "it is a teapot", 418],
    ["an answer that is no stream", "{}", 200],
  ])("a server that is no gateway: %s", async (_name, body, status) => {
    const server = Bun.serve({ port: 0, fetch: () => new Response(body, { status }) });
    const { done } = chat(server.url.href, { prompt: "x" });
    await expect(done).rejects.toBeInstanceOf(GatewayError);
    await expect(chat(server.url.href).done).rejects.toThrow(/no flowmesh gateway|is it a flowmesh gateway/);
    await server.stop(true);
  });
});

describe("a conversation", () => {
  const replies = () =>
    new ScriptedSessions((request) => ({
      commits: [bytes(`#${request.prompt.length}`), [...request.stopTokens]],
    }));

  test("keeps what was said, until /clear", async () => {
    await using gateway = new ServedGateway(replies());
    const { stdin, stdout, stderr, done } = chat(gateway.url);
    stdin.end("one\n\n  two \n/clear\nthree\n/exit\nfour\n");
    expect(await done).toBe(0);
    expect(stdout.text).toBe("#10\n#35\n#12\n");
    expect(stderr.text).toContain("forgotten\n");
    expect(promptsOf(gateway.sessions)).toEqual([
      "[user]one\n",
      "[user]one\n[assistant]#10\n[user]two\n",
      "[user]three\n",
    ]);
  });

  test("goes on after an error, without the question that had no answer", async () => {
    await using gateway = new ServedGateway(replies());
    const { stdin, stdout, stderr, done } = chat(gateway.url);
    gateway.sessions.refusal = new SessionError("busy", "4 sessions run already");
    stdin.write("one\n");
    await stderr.shows("4 sessions run already");
    gateway.sessions.refusal = undefined;
    stdin.end("two\n");
    expect(await done).toBe(1);
    expect(stdout.text).toBe("#10\n");
    expect(promptsOf(gateway.sessions)).toEqual(["[user]two\n"]);
  });

  test("on a terminal, Ctrl-C stops the answer and keeps its beginning; at the prompt it leaves", async () => {
    const sessions = new ScriptedSessions((request) =>
      request.prompt.length < 12
        ? { commits: [bytes("For ever")], end: "never" }
        : { commits: [bytes("Fine."), [END_TOKEN]] },
    );
    await using gateway = new ServedGateway(sessions);
    const { stdin, stdout, stderr, done } = chat(gateway.url, {}, true);
    await stdout.shows("> ");
    expect(stderr.text).toContain("tiny-model on 3 stages, 400 tokens of context");
    stdin.write("one\r");
    await stdout.shows("For ever");
    stdin.write("\x03");
    await sessions.last.cancelled.promise;
    await stderr.shows(/\(cancelled\)/);
    stdin.write("two\r");
    await stderr.shows(FIGURES);
    expect(promptsOf(sessions).at(-1)).toBe("[user]one\n[assistant]For ever\n[user]two\n");
    await stdout.shows(/Fine\.\n(.|\n)*> /);
    stdin.write("\x03");
    expect(await done).toBe(0);
  });

  test("without a gateway ends at once", async () => {
    const gateway = new ServedGateway();
    await gateway[Symbol.asyncDispose]();
    await expect(chat(gateway.url).done).rejects.toThrow("./flowmesh up");
  });

  test("ends with its signal, also while it waits for a line", async () => {
    await using gateway = new ServedGateway(replies());
    const { stdout, stop, done } = chat(gateway.url, {}, true);
    await stdout.shows("> ");
    stop.abort();
    await done;
  });
});

describe("commands", () => {
  /** Says how it was asked; the second answer and those after it differ from the first. */
  const counted = () => {
    let count = 0;
    return new ScriptedSessions((request) => ({
      commits: [bytes(`answer ${++count}`), [...request.stopTokens]],
    }));
  };
  const talk = async (input: string, more: Partial<ChatOptions> = {}) => {
    await using gateway = new ServedGateway(counted());
    const { stdin, stdout, stderr, done } = chat(gateway.url, more);
    stdin.end(input);
    return { code: await done, said: stderr.text, answers: stdout.text, sessions: gateway.sessions };
  };

  test("/policy lists those of the mesh, shows the present one and takes another", async () => {
    const { said, sessions, code } = await talk(
      "/policy\none\n/policy flowspec:total=40\n/policy\ntwo\n/policy off\nthree\n",
    );
    expect(said).toStartWith("policy: the mesh's own\nthere are: flowspec, autoregressive\n");
    expect(said).toContain("policy: flowspec:total=40\nthere are: flowspec *, autoregressive\n");
    expect(sessions.opened.map(({ request }) => request.policy)).toEqual([
      undefined,
      "flowspec:total=40",
      undefined,
    ]);
    expect(code).toBe(0);
  });

  test.each([
    ["/policy nonsense", 'unknown policy "nonsense"; there are: autoregressive, '],
    ["/policy pipedec", 'this mesh has no policy "pipedec"; there are: flowspec, autoregressive'],
    ["/policy flowspec:size=3", 'policy flowspec has no parameter "size"'],
    ["/temperature 3", "/temperature 3: It must be a number from 0 to 2."],
    ["/seed -1", "/seed -1: It must be a whole number from 0"],
    ["/polcy x", "there is no command /polcy; /help tells which there are"],
    ["/save /tmp/x", "/save works at a terminal only"],
    ["/load /etc/passwd", "/load works at a terminal only"],
  ])("%s is refused, and changes nothing", async (command, message) => {
    const { said, sessions, code } = await talk(`${command}\none\n`, { policy: "autoregressive", seed: 4 });
    expect(said).toStartWith(message);
    expect(sessions.last.request).toMatchObject({ policy: "autoregressive", sampling: { seed: 4 } });
    expect(code).toBe(1);
  });

  test("settings count from the next question on, until they are taken back", async () => {
    const { said, sessions } = await talk(
      "/system Be brief.\n/temperature 0.5\n/seed 7\n/max-tokens 3\none\n/settings\n/max-tokens off\n/system off\ntwo\n",
      { system: "Be long." },
    );
    expect(said).toContain("temperature: 0.5\nseed: 7\nmax-tokens: 3\n");
    const [first, second] = sessions.opened.map(({ request }) => request);
    expect(first).toMatchObject({ sampling: { temperature: 0.5, seed: 7 }, maxTokens: 3 });
    expect(second).toMatchObject({ sampling: { temperature: 0.5, seed: 7 } });
    expect(second?.maxTokens).toBeGreaterThan(100);
    expect(promptsOf(sessions)).toEqual([
      "[system]Be brief.\n[user]one\n",
      "[user]one\n[assistant]ans\n[user]two\n",
    ]);
  });

  test("/regenerate asks the last question again, without its answer", async () => {
    const { answers, sessions, said } = await talk("/regenerate\none\ntwo\n/regenerate\nthree\n");
    expect(said).toStartWith("nothing was asked so far\n");
    expect(answers).toBe("answer 1\nanswer 2\nanswer 3\nanswer 4\n");
    const before = "[user]one\n[assistant]answer 1\n[user]two\n";
    expect(promptsOf(sessions)).toEqual([
      "[user]one\n",
      before,
      before,
      `${before}[assistant]answer 3\n[user]three\n`,
    ]);
  });

  test("what only looks like a command is asked, and a question may have several lines", async () => {
    const { sessions } = await talk(
      '/etc/hosts is what?\n/clear\n /help\n/clear\n"""\n/one\ntwo\n"""\n/clear\n"""three"""\n',
    );
    expect(promptsOf(sessions)).toEqual([
      "[user]/etc/hosts is what?\n",
      "[user]/help\n",
      "[user]/one\ntwo\n",
      "[user]three\n",
    ]);
  });

  test("/help names every command that there is", async () => {
    const { said } = await talk("/help\n");
    for (const name of "policy system temperature top-p min-p seed max-tokens regenerate clear save load exit".split(
      " ",
    )) {
      expect(said).toContain(`/${name}`);
    }
  });
});

describe("a conversation in a file", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "flowmesh-chat-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("is written by /save, over nothing, and goes on with /load", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("Fine."), [END_TOKEN]] });
    const path = join(folder, "a chat.json");
    const first = chat(gateway.url, { system: "Be brief." }, true);
    await first.stdout.shows("> ");
    first.stdin.write("one\r");
    await first.stderr.shows(FIGURES);
    first.stdin.write(`/save ${path}\r`);
    await first.stderr.shows("3 messages are in");
    first.stdin.write(`/save ${path}\r`);
    await first.stderr.shows("is there already; choose another name");
    first.stdin.write("\x04");
    expect(await first.done).toBe(0);
    expect(await Bun.file(path).json()).toEqual({
      model: "default",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "one" },
        { role: "assistant", content: "Fine." },
      ],
    });

    const second = chat(gateway.url, {}, true);
    await second.stdout.shows("> ");
    second.stdin.write(`/load ${folder}\r`);
    await second.stderr.shows("can't read");
    second.stdin.write(`/load ${import.meta.path}\r`);
    await second.stderr.shows("holds no conversation");
    second.stdin.write(`/load ${path}\r`);
    await second.stderr.shows("3 messages from");
    second.stdin.write("two\r/exit\r");
    await second.done;
    expect(promptsOf(gateway.sessions).at(-1)).toBe(
      "[system]Be brief.\n[user]one\n[assistant]Fine.\n[user]two\n",
    );
  });
});

describe("--json", () => {
  const recordsOf = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => v.parse(answerRecordSchema, JSON.parse(line)));

  test("has a line for each answer, and says what failed", async () => {
    const sessions = new ScriptedSessions(({ prompt }) =>
      prompt.length < 11
        ? { commits: [bytes("It\n"), bytes("is"), [END_TOKEN]] }
        : { commits: [bytes("Half")], end: "error", message: "stage 1 is gone" },
    );
    await using gateway = new ServedGateway(sessions);
    const { stdin, stdout, stderr, done } = chat(gateway.url, { json: true, policy: "flowspec", seed: 5 });
    stdin.end("/policy\none\nthree?\n");
    expect(await done).toBe(1);
    const [first, second, ...none] = recordsOf(stdout.text);
    expect(none).toEqual([]);
    expect(first).toMatchObject({
      question: "one",
      answer: "It\nis",
      model: "default",
      policy: "flowspec",
      finish_reason: "stop",
      seed: 5,
      usage: { prompt_tokens: 10, completion_tokens: 6 },
      commits: 3,
      draft_tokens: 21,
      accepted_tokens: 3,
      error: null,
    });
    expect(first!.seconds).toBeGreaterThanOrEqual(first!.first_token_seconds!);
    expect(second).toMatchObject({ question: "three?", answer: "Half", finish_reason: null, usage: null });
    expect(second?.error).toContain("stage 1 is gone");
    expect(stderr.text).toContain("policy: flowspec\n");
    expect(stderr.text).not.toMatch(FIGURES);
  });

  test("of one question tells that it was stopped", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("For ever")], end: "never" });
    const { stdout, stop, done } = chat(gateway.url, { prompt: "x", json: true });
    while (gateway.sessions.opened.length === 0) await Bun.sleep(5);
    stop.abort();
    await done;
    expect(recordsOf(stdout.text)).toMatchObject([{ question: "x", error: "cancelled" }]);
  });
});

test("a model can't write to the terminal but text", async () => {
  await using gateway = new ServedGateway({ commits: [bytes("a\u001b[2J\tb\r\nc\u009b"), [END_TOKEN]] });
  const { stdout, done } = chat(gateway.url, { prompt: "x" }, true);
  await done;
  expect(stdout.text).toBe("a\u241b[2J\tb\u240d\nc\ufffd\n");
  const piped = chat(gateway.url, { prompt: "x" });
  await piped.done;
  expect(piped.stdout.text).toBe("a\u001b[2J\tb\r\nc\u009b\n");
});
