import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatOptions } from "../../../cli/chat/chat.ts";
import { bytes, END_TOKEN } from "../../http/byte-text.ts";
import { ScriptedSessions } from "../../http/scripted-sessions.ts";
import { ServedGateway } from "../../http/served-gateway.ts";
import { chat, FIGURES, promptsOf } from "./played-chat.ts";

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
