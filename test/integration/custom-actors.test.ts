import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import OpenAI from "openai";
import * as v from "valibot";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { snapshotSchema } from "../../cli/top-snapshot.ts";
import { connectNats } from "../../transport/nats.ts";
import { runFlowmesh } from "../flowmesh-command.ts";

const MINUTES = 60_000;
const ROOT = join(import.meta.dir, "../..");
const EXAMPLE = join(ROOT, "examples/phrase-book-drafter.ts");
const PROMPT = "Why is the sea salty?";
const TOKENS = 48;

let folder = "";
let mesh: RunningMesh;
const running = new Set<Subprocess>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "custom-"));
  mesh = await startMesh("--stages", "2");
}, 4 * MINUTES);
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  await mesh.stop();
  await rm(folder, { recursive: true });
});

const where = () => ["--nats", mesh.natsUrl, "--mesh", mesh.mesh];

/** `flowmesh run FILE`, once it says that it is there. */
async function runFile(file: string, env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, join(ROOT, "cli/main.ts"), "run", file, ...where()], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  running.add(child);
  let said = "";
  const there = Promise.withResolvers<void>();
  const listen = async () => {
    const decoder = new TextDecoder();
    for await (const part of child.stderr) {
      said += decoder.decode(part, { stream: true });
      if (said.includes("Press Ctrl-C")) there.resolve();
    }
    there.reject(new Error(`flowmesh run ended: ${said}`));
    return said;
  };
  const allSaid = listen();
  await there.promise;
  return { child, said, allSaid };
}

/** Two of the same at the same time: how the one went that was let in, and what the other one said. */
async function runTwins(file: string, env: Record<string, string>) {
  const tried = await Promise.allSettled([runFile(file, env), runFile(file, env)]);
  const inside = tried.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const outside = tried.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
  return { inside, outside };
}

const asked = (flowmesh: Record<string, unknown>) => ({
  model: "default",
  messages: [{ role: "user" as const, content: PROMPT }],
  temperature: 0,
  max_tokens: TOKENS,
  flowmesh: { policy: "flowspec", commits: true, ...flowmesh },
});

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly tokensPerCommit: number;
  readonly error: { message: string; param: string } | undefined;
}

async function ask(flowmesh: Record<string, unknown>): Promise<Answer> {
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...asked(flowmesh), model: undefined }),
  });
  const body = await response.json();
  const commits: number[] = body.flowmesh?.commit_tokens ?? [];
  return {
    status: response.status,
    text: body.choices?.[0]?.message.content ?? "",
    tokensPerCommit: TOKENS / commits.length,
    error: body.error,
  };
}

/** A streamed answer; `atText` is called once, when its first text is here. */
async function follow(flowmesh: Record<string, unknown>, atText: () => Promise<void>) {
  const client = new OpenAI({ baseURL: `${mesh.url}/v1`, apiKey: "none", maxRetries: 0 });
  const stream = await client.chat.completions.create({ ...asked(flowmesh), stream: true });
  let text = "";
  let commits = 0;
  for await (const chunk of stream) {
    const part = chunk.choices[0]?.delta.content ?? "";
    if (text === "" && part !== "") await atText();
    text += part;
    const ending = v.safeParse(v.object({ flowmesh: v.object({ commits: v.number() }) }), chunk);
    if (ending.success) commits = ending.output.flowmesh.commits;
  }
  return { text, tokensPerCommit: TOKENS / commits };
}

describe("a drafter of one's own", () => {
  let plain: Answer;
  let drafted: Answer;
  let phrases = "";

  test(
    "that knows the answer by heart has its guesses accepted, and changes nothing in the answer; a twin is refused",
    async () => {
      plain = await ask({ drafter: "none" });
      expect(plain.tokensPerCommit).toBe(1);
      phrases = join(folder, "phrases.txt");
      await Bun.write(phrases, plain.text.replaceAll("\n", " "));
      const { inside, outside } = await runTwins(EXAMPLE, { PHRASES: phrases });
      expect(outside).toEqual([expect.stringContaining('a drafter named "phrase-book" is on mesh')]);
      expect(inside).toHaveLength(1);
      const { child, said } = inside[0]!;
      expect(said).toContain(`drafter-phrase-book is part of mesh ${mesh.mesh}`);
      drafted = await ask({ drafter: "phrase-book" });
      expect(drafted.text).toBe(plain.text);
      expect(drafted.tokensPerCommit).toBeGreaterThan(1.5);
      expect((await ask({})).text).toBe(plain.text);
      const top = await runFlowmesh(["top", "--json", ...where()]);
      const { actors } = v.parse(snapshotSchema, JSON.parse(top.output));
      expect(actors.find(({ name }) => name === "drafter-phrase-book")).toMatchObject({
        role: "user",
        pid: child.pid,
        epoch: 1,
        state: "active",
      });
    },
    MINUTES,
  );

  test(
    "others are refused by name; when it dies the stream only gets slower",
    async () => {
      const { status, error } = await ask({ drafter: "oracle" });
      expect(status).toBe(400);
      expect(error?.param).toBe("flowmesh.drafter");
      expect(error?.message).toContain(
        'there is no drafter "oracle" on this mesh; there are "phrase-book", "none"',
      );
      let killed = 0;
      const bereft = await follow({ drafter: "phrase-book" }, async () => {
        for (const child of running) {
          if (child.exitCode !== null) continue;
          child.kill("SIGKILL");
          await child.exited;
          killed++;
        }
      });
      expect(killed).toBe(1);
      expect(bereft.text).toBe(plain.text);
      // The rest came as in plain decoding.
      expect(bereft.tokensPerCommit).toBeLessThan(drafted.tokensPerCommit);
      expect((await ask({ drafter: "phrase-book" })).status).toBe(400);
    },
    MINUTES,
  );

  test(
    "ends with exit code 0 on Ctrl-C, and says what is wrong with what it predicts",
    async () => {
      const { child } = await runFile(EXAMPLE, { PHRASES: phrases });
      child.kill("SIGINT");
      expect(await child.exited).toBe(0);
      const wrong = join(folder, "wrong.ts");
      await Bun.write(
        wrong,
        `import { defineDrafter } from "flowmesh";
         export default defineDrafter({
           name: "wrong", description: "", start: () => () => [{ token: 5, probability: 0.9 }, { token: 6, probability: 0.2 }],
         });`,
      );
      const { child: broken, allSaid } = await runFile(wrong);
      expect((await ask({ drafter: "wrong" })).text).toBe(plain.text);
      while (broken.exitCode === null) {
        const { status, text } = await ask({ drafter: "wrong" });
        if (status === 200) expect(text).toBe(plain.text);
        else expect(status).toBe(400);
      }
      expect(broken.exitCode).toBe(1);
      expect(await allSaid).toMatch(
        /drafter-wrong can't go on: .*the probabilities add up to 1\.1\d*; that must be 1/,
      );
    },
    2 * MINUTES,
  );
});

test(
  "an actor of one's own answers on its subjects, and is seen",
  async () => {
    const file = join(folder, "greeter.ts");
    await Bun.write(
      file,
      `import { defineActor } from "flowmesh";
       import * as v from "${join(ROOT, "node_modules/valibot")}";
       export default defineActor({
         name: "greeter",
         description: "says hello",
         on: { "app.greet.*": { schema: v.object({ name: v.string() }), handle: ({ name }) => ({ text: "Hello, " + name }) } },
       });`,
    );
    const { child } = await runFile(file);
    const nats = await connectNats({ url: mesh.natsUrl, name: "test-custom" });
    const body = new TextEncoder().encode(JSON.stringify({ name: "Ada" }));
    const reply = await nats.request("app.greet.now", body, { timeoutMs: 5000 });
    expect(JSON.parse(new TextDecoder().decode(reply.body))).toEqual({ text: "Hello, Ada" });
    await nats.close();
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
  },
  MINUTES,
);

describe("a file that can't be run", () => {
  test(
    "is refused with what would be right",
    async () => {
      const cases: [string, string, RegExp][] = [
        [
          "nothing.ts",
          "export const x = 1;",
          /no default export that can be run; it must be what defineActor/,
        ],
        ["thrown.ts", 'throw new Error("not today");', /can't be loaded: not today/],
        [
          "name.ts",
          'import { defineDrafter } from "flowmesh"; export default defineDrafter({ name: "A b", description: "", start: () => () => [] });',
          /a drafter can't be named "A b"/,
        ],
      ];
      for (const [name, text, message] of cases) {
        await Bun.write(join(folder, name), text);
        const { code, errors } = await runFlowmesh(["run", join(folder, name), ...where()]);
        expect({ name, code }).toEqual({ name, code: 1 });
        expect(errors).toMatch(message);
        expect(errors).not.toContain("    at ");
      }
      const { code, errors } = await runFlowmesh(["run", join(folder, "missing.ts"), ...where()]);
      expect({ code, errors }).toEqual({ code: 1, errors: expect.stringContaining("there is no file") });
    },
    MINUTES,
  );
});
