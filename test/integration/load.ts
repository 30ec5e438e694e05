import { readdirSync, readFileSync } from "node:fs";
import * as v from "valibot";
import { sessionAccountSchema } from "../../actors/messages.ts";
import { listServiceStats } from "../../actors/runtime/service-list.ts";
import type { RunningMesh } from "../../bench/running-mesh.ts";
import { eventData } from "../../http/event-data.ts";
import type { Transport } from "../../transport/transport.ts";

export interface LoadPlan {
  /** Streams at any moment. */
  readonly streams: number;
  /** Begins no more of them after this long. */
  readonly forMs: number;
  readonly maxTokens: number;
  readonly prompts: readonly string[];
  /** Called about each second. */
  readonly onTick?: () => void;
}

export interface LoadReport {
  requests: number;
  tokens: number;
  readonly failures: string[];
  readonly firstTokenMs: number[];
  /** Between events of one stream that brought text. */
  readonly betweenMs: number[];
}

interface Ask {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
}

const post = (mesh: RunningMesh, { prompt, maxTokens, seed, signal }: Ask): Promise<Response> =>
  fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: prompt }],
      ...{ stream: true, stream_options: { include_usage: true }, max_tokens: maxTokens, seed },
    }),
    ...(signal && { signal }),
  });

/** Many streams at the same time, each begun as soon as another one ends. */
export async function load(mesh: RunningMesh, plan: LoadPlan): Promise<LoadReport> {
  const report: LoadReport = { requests: 0, tokens: 0, failures: [], firstTokenMs: [], betweenMs: [] };
  const untilMs = performance.now() + plan.forMs;
  const timer = plan.onTick && setInterval(plan.onTick, 1000);
  let number = 0;
  const lane = async () => {
    while (performance.now() < untilMs) {
      const seed = number++;
      const prompt = plan.prompts[seed % plan.prompts.length] ?? "";
      await stream(mesh, { prompt, maxTokens: plan.maxTokens, seed }, report).catch((error: unknown) =>
        report.failures.push(String(error)),
      );
    }
  };
  await Promise.all(Array.from({ length: plan.streams }, lane));
  clearInterval(timer);
  return report;
}

async function stream(mesh: RunningMesh, ask: Ask, report: LoadReport): Promise<void> {
  const begunMs = performance.now();
  report.requests++;
  const response = await post(mesh, ask);
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  let lastMs: number | undefined;
  let done = false;
  for await (const data of eventData(response.body ?? new ReadableStream())) {
    if (data === "[DONE]") {
      done = true;
      continue;
    }
    const { choices, usage, error } = JSON.parse(data);
    if (error) throw new Error(error.message);
    report.tokens += usage?.completion_tokens ?? 0;
    if (!choices?.[0]?.delta.content) continue;
    const nowMs = performance.now();
    if (lastMs === undefined) report.firstTokenMs.push(nowMs - begunMs);
    else report.betweenMs.push(nowMs - lastMs);
    lastMs = nowMs;
  }
  if (!done) throw new Error("the stream ended without [DONE]");
}

export interface DisconnectPlan {
  readonly count: number;
  /** At the same time. */
  readonly lanes: number;
  readonly prompts: readonly string[];
  readonly maxTokens: number;
  /** A client leaves after a time up to this. */
  readonly withinMs: number;
}

/** Clients that leave at random points: before the answer begins, in the middle, or at its end. */
export async function disconnect(mesh: RunningMesh, plan: DisconnectPlan): Promise<number> {
  let number = 0;
  let left = 0;
  const lane = async () => {
    while (number < plan.count) {
      const seed = number++;
      const leaving = new AbortController();
      const timer = setTimeout(() => leaving.abort(), Math.random() * plan.withinMs);
      const prompt = plan.prompts[seed % plan.prompts.length] ?? "";
      try {
        const ask = { prompt, maxTokens: plan.maxTokens, seed, signal: leaving.signal };
        await (await post(mesh, ask)).text();
      } catch {
        left++;
      }
      clearTimeout(timer);
    }
  };
  await Promise.all(Array.from({ length: plan.lanes }, lane));
  return left;
}

/** What of sessions the mesh still holds: 0 everywhere when none runs. */
export async function heldSessions(transport: Transport): Promise<Record<string, number>> {
  const services = await listServiceStats(transport);
  const holders = services.filter(({ name }) => /^(stage-|drafter$)/.test(name));
  const held = holders.map(({ name, account }) => [name, (account as { sessions: number }).sessions]);
  const trees = services.filter(({ account }) => v.is(sessionAccountSchema, account)).length;
  return { ...Object.fromEntries(held), trees };
}

/** Memory of a process, MiB, and its open files; Linux only. */
export function usageOf(pid: number): { mib: number; files: number } {
  const kib = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return { mib: kib / 1024, files: readdirSync(`/proc/${pid}/fd`).length };
}
