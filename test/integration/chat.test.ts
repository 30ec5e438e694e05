import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import OpenAI from "openai";
import * as v from "valibot";
import { listActors } from "../../bench/mesh-inventory.ts";
import { readPrompts } from "../../bench/prompts.ts";
import { descendants, type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { snapshotSchema } from "../../cli/top-snapshot.ts";
import { connectNats } from "../../transport/nats.ts";
import type { Transport } from "../../transport/transport.ts";
import { waitUntilGone } from "../actors/host/process-gone.ts";
import { runFlowmesh } from "../flowmesh-command.ts";
import { terminalCases } from "./terminal-cases.ts";

const MINUTES = 60_000;
const decoder = new TextDecoder();

let mesh: RunningMesh;
let client: OpenAI;
let transport: Transport;
let questions: string[];

beforeAll(async () => {
  mesh = await startMesh("--stages", "4");
  client = new OpenAI({ baseURL: `${mesh.url}/v1`, apiKey: "none", maxRetries: 0 });
  transport = await connectNats({ url: mesh.natsUrl, name: "test-chat" });
  const prompts = await readPrompts(join(import.meta.dir, "../../bench/prompts.jsonl"));
  questions = prompts.filter(({ kind }) => kind !== "summary").map(({ turns }) => turns[0]!);
}, 6 * MINUTES);

afterAll(async () => {
  await transport.close();
  await mesh.stop();
});

function ask(index: number, maxTokens: number, temperature = 0.8) {
  return {
    model: "default",
    messages: [{ role: "user" as const, content: questions[index]! }],
    temperature,
    seed: 100 + index,
    max_tokens: maxTokens,
  };
}

const answer = async (index: number, maxTokens: number): Promise<string> =>
  (await client.chat.completions.create(ask(index, maxTokens))).choices[0]?.message.content ?? "";

async function processOf(name: string): Promise<number> {
  const actor = (await listActors(transport)).find((one) => one.name === name);
  return Number(actor?.metadata.pid);
}

interface Heard {
  readonly subject: string;
  readonly body: Record<string, unknown>;
}

/** Everything that is said of sessions from now on. */
function hearSessions(verb: string): { readonly heard: Heard[]; stop(): void } {
  const heard: Heard[] = [];
  const subscription = transport.subscribe(`flow.${mesh.mesh}.session.*.${verb}`, ({ subject, body }) => {
    heard.push({ subject, body: JSON.parse(decoder.decode(body)) });
  });
  return { heard, stop: () => subscription.unsubscribe() };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + MINUTES;
  while (!condition() && performance.now() < deadline) await Bun.sleep(20);
  expect(condition()).toBe(true);
}

describe("a running mesh", () => {
  test(
    "answers 8 requests at once, each as when it is alone",
    async () => {
      const indices = [0, 1, 2, 3, 4, 5, 6, 7];
      const alone: string[] = [];
      for (const index of indices) alone.push(await answer(index, 24));
      expect(await Promise.all(indices.map((index) => answer(index, 24)))).toEqual(alone);
      expect(alone.every((text) => text.length > 0)).toBe(true);
    },
    4 * MINUTES,
  );

  test(
    "streams the same text as it gives at once, and publishes it as readable commits",
    async () => {
      const commits = hearSessions("commit");
      const stream = await client.chat.completions.create({
        ...ask(3, 40, 0),
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = "";
      let usage: OpenAI.CompletionUsage | undefined;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? "";
        usage = chunk.usage ?? usage;
      }
      await transport.flush();
      commits.stop();
      const whole = await client.chat.completions.create(ask(3, 40, 0));
      expect(text).toBe(whole.choices[0]?.message.content ?? "");
      expect(usage?.total_tokens).toBe(whole.usage?.total_tokens);
      expect(commits.heard.map(({ body }) => body.text).join("")).toContain(text.slice(0, 20));
    },
    2 * MINUTES,
  );

  test("tells how many tokens its stages have room for, by which requests are let in", async () => {
    const heard: number[] = [];
    const subscription = transport.subscribe(`flow.${mesh.mesh}.event.pipeline`, ({ body }) => {
      heard.push(JSON.parse(decoder.decode(body)).kvTokens);
    });
    await until(() => heard.length > 0);
    subscription.unsubscribe();
    // A whole context of the default model at least, else this machine could not serve it.
    expect(heard[0]).toBeGreaterThan(2048);
  });

  test(
    "computes of a prompt only what it has not had before, and gives the same answer whatever the policy",
    async () => {
      // Nothing but the chat template's beginning was asked before.
      const rules = "Speak like a sailor who has just come home from the far north, and keep it short.";
      const messages: OpenAI.ChatCompletionMessageParam[] = [
        { role: "system", content: rules },
        { role: "user", content: questions[4]! },
      ];
      const told = async (policy: string) => {
        const asked = { ...ask(4, 8), messages, flowmesh: { policy } };
        const { choices, usage } = await client.chat.completions.create(asked);
        const prompt = usage?.prompt_tokens ?? 0;
        const uncached = prompt - (usage?.prompt_tokens_details?.cached_tokens ?? 0);
        return { answer: choices[0]?.message.content ?? "", prompt, uncached };
      };
      const first = await told("autoregressive");
      expect(first.uncached).toBeGreaterThan(first.prompt - 10);
      for (const policy of ["fullflow", "flowspec", "pipedec"]) {
        expect(await told(policy)).toEqual({ ...first, uncached: 1 });
      }
      messages.push({ role: "assistant", content: first.answer }, { role: "user", content: "And then?" });
      const second = await told("fullflow");
      expect(second.prompt).toBeGreaterThan(first.prompt + 8);
      expect(second.uncached).toBeLessThan(second.prompt - first.prompt + 4);
    },
    2 * MINUTES,
  );

  test(
    "tells the same log-probabilities whatever the policy, the greedy token's first",
    async () => {
      const told = async (policy: string) => {
        const asked = { ...ask(2, 12, 0), logprobs: true, top_logprobs: 3, flowmesh: { policy } };
        const { choices } = await client.chat.completions.create(asked);
        return choices[0]?.logprobs?.content ?? [];
      };
      const plain = await told("autoregressive");
      expect(plain.length).toBeGreaterThanOrEqual(11);
      for (const { token, logprob, top_logprobs } of plain) {
        expect(top_logprobs).toHaveLength(3);
        expect(top_logprobs[0]).toMatchObject({ token, logprob });
        expect(top_logprobs.reduce((sum, one) => sum + Math.exp(one.logprob), 0)).toBeLessThanOrEqual(1);
      }
      expect(await told("fullflow")).toEqual(plain);
    },
    2 * MINUTES,
  );

  test(
    "forgets a session everywhere when its client leaves",
    async () => {
      const ends = hearSessions("end");
      const leaving = new AbortController();
      const stream = await client.chat.completions.create(
        { ...ask(5, 400), stream: true },
        { signal: leaving.signal },
      );
      const reading = (async () => {
        for await (const _ of stream) leaving.abort();
      })().catch(() => {});
      await until(() => ends.heard.length > 0);
      await reading;
      ends.stop();
      expect(ends.heard[0]?.body.reason).toBe("cancelled");
      const stats = ends.heard[0]?.body.stats as { completionTokens: number };
      expect(stats.completionTokens).toBeLessThan(400);
    },
    2 * MINUTES,
  );

  test.each(["stage-0", "stage-2", "stage-3", "drafter"])(
    "goes on with the same text when %s is killed in the middle",
    async (victim) => {
      const expected = await answer(8, 60);
      const commits = hearSessions("commit");
      const under = answer(8, 60);
      await until(() => commits.heard.length >= 10);
      const pid = await processOf(victim);
      process.kill(pid, "SIGKILL");
      expect(await under).toBe(expected);
      commits.stop();
      await until(() => mesh.output().includes(`is up again actor=${victim} `));
      expect(await answer(8, 60)).toBe(expected);
    },
    3 * MINUTES,
  );

  test(
    "shows itself to flowmesh top while it works: what runs where, how busy it is, and the session",
    async () => {
      // One answer may end before it was looked at.
      let isOver = false;
      const asking = Array.from({ length: 3 }, async (_, lane) => {
        const body = { ...ask(lane, 100), flowmesh: { policy: "flowspec" } };
        while (!isOver) await client.chat.completions.create(body).catch(() => {});
      });
      const args = ["top", "--json", "--nats", mesh.natsUrl, "--mesh", mesh.mesh];
      const { output, code, errors } = await runFlowmesh(args).finally(() => {
        isOver = true;
      });
      await Promise.all(asking);
      expect({ code, errors }).toEqual({ code: 0, errors: "" });
      const { hosts, actors, sessions, epoch, mesh: name } = v.parse(snapshotSchema, JSON.parse(output));
      expect(name).toBe(mesh.mesh);
      expect(hosts).toHaveLength(1);
      expect(actors.map((actor) => actor.name).toSorted()).toEqual(
        ["drafter", "gateway", "stage-0", "stage-1", "stage-2", "stage-3", "tree"].toSorted(),
      );
      const running = await descendants(mesh.pid);
      for (const actor of actors) {
        expect(actor).toMatchObject({ host: hosts[0]?.name, state: "active" });
        expect(running).toContain(actor.pid);
      }
      const stages = actors.filter(({ role }) => role === "stage");
      expect(stages.map(({ layers }) => layers?.[0])).toEqual([
        0,
        ...stages.slice(0, -1).map((s) => s.layers?.[1]),
      ]);
      expect(stages.every((stage) => stage.epoch === epoch)).toBe(true);
      const [arithmetic, ...others] = new Set(stages.map((stage) => stage.arithmetic));
      expect(arithmetic).toMatch(/^[0-9a-f]{8}$/);
      expect(others).toEqual([]);
      expect(sessions.length).toBeGreaterThan(0);
      // Those that have just ended are still there.
      expect(sessions.map(({ policy }) => policy)).toContain("flowspec");
      for (const { promptTokens, commits, tokensPerCommit } of sessions) {
        expect(promptTokens).toBeGreaterThan(0);
        if (commits > 0) expect(tokensPerCommit).toBeGreaterThanOrEqual(1);
      }
      for (const { activity } of stages) {
        expect(activity?.busyShare).toBeGreaterThan(0);
        expect(activity?.nodesPerSegment).toBeGreaterThan(0);
      }
    },
    MINUTES,
  );

  test(
    "is shown to a person by flowmesh top, again and again, until it is ended",
    async () => {
      const args = ["top", "--nats", mesh.natsUrl, "--mesh", mesh.mesh];
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "../../cli/main.ts"), ...args], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      });
      let shown = "";
      for await (const part of child.stdout) {
        shown += decoder.decode(part);
        if (shown.split(`mesh ${mesh.mesh}, `).length > 3) break;
      }
      child.kill("SIGINT");
      await child.exited;
      const second = shown.split(`mesh ${mesh.mesh}, `)[2] ?? "";
      expect(second).toContain("epoch ");
      for (const heading of ["HOST ", "ACTOR ", "SESSION "]) expect(second).toContain(`\n${heading}`);
      const rows = second.split("\n");
      const running = await descendants(mesh.pid);
      for (const name of ["gateway", "tree", "drafter", "stage-0", "stage-1", "stage-2", "stage-3"]) {
        const cells = rows.find((row) => row.startsWith(`${name} `))?.split(/ {2,}/) ?? [];
        expect(cells[1]).toBe(name.replace(/-\d$/, ""));
        expect(running).toContain(Number(cells[3]));
        expect(cells[6]).toBe("active");
        if (name.startsWith("stage")) expect(cells[7]).toMatch(/^\d+ %$/);
      }
    },
    MINUTES,
  );

  test(
    "shows the gateway's process to flowmesh top also after it was killed and restarted",
    async () => {
      const killed = await processOf("gateway");
      process.kill(killed, "SIGKILL");
      const args = ["top", "--json", "--nats", mesh.natsUrl, "--mesh", mesh.mesh];
      let shown = killed;
      const deadline = performance.now() + MINUTES / 2;
      while (shown === killed && performance.now() < deadline) {
        const { actors } = v.parse(snapshotSchema, JSON.parse((await runFlowmesh(args)).output));
        shown = actors.find(({ name }) => name === "gateway")?.pid ?? 0;
      }
      expect(shown).not.toBe(killed);
      expect(await descendants(mesh.pid)).toContain(shown);
      while (
        !(await fetch(`${mesh.url}/health`).then(
          ({ ok }) => ok,
          () => false,
        ))
      )
        await Bun.sleep(50);
    },
    MINUTES,
  );

  test("refuses what it can't do, naming the field, and goes on", async () => {
    const refusal = async (body: unknown) => {
      const response = await fetch(`${mesh.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: typeof body === "string" ? body : JSON.stringify(body),
      });
      const { error } = (await response.json()) as { error: { param: string | null; message: string } };
      return [response.status, error.param, error.message];
    };
    const good = ask(0, 4);
    expect(await refusal("{ not json")).toMatchObject([400, null, expect.stringContaining("JSON")]);
    expect(await refusal({ ...good, model: "gpt-9" })).toMatchObject([404, "model", expect.any(String)]);
    expect(await refusal({ ...good, max_tokens: -1 })).toMatchObject([400, "max_tokens", expect.any(String)]);
    expect(await refusal({ ...good, temperature: 3 })).toMatchObject([
      400,
      "temperature",
      expect.any(String),
    ]);
    const long = [{ role: "user", content: "word ".repeat(9000) }];
    expect(await refusal({ ...good, messages: long })).toMatchObject([
      400,
      "messages",
      expect.stringContaining("8192"),
    ]);
    expect((await answer(0, 4)).length).toBeGreaterThan(0);
  });
});

terminalCases({ mesh: () => mesh, hearEnds: () => hearSessions("end"), until });

describe("flowmesh up", () => {
  test(
    "leaves no process behind after Ctrl-C",
    async () => {
      const other = await startMesh("--stages", "2");
      const children = await descendants(other.pid);
      expect(children.length).toBeGreaterThanOrEqual(6);
      expect(await other.stop()).toBe(0);
      // The guard of nats-server ends when it sees that its parent has gone.
      await waitUntilGone(children);
    },
    3 * MINUTES,
  );
});
