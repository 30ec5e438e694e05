import { readdirSync, readFileSync } from "node:fs";
import * as v from "valibot";
import { sessionAccountSchema } from "../../actors/messages.ts";
import { listServiceStats } from "../../actors/runtime/service-list.ts";
import type { RunningMesh } from "../../bench/running-mesh.ts";
import type { Transport } from "../../transport/transport.ts";
import { readMetric } from "../gateway-metrics.ts";
import { answerEvents } from "./answer-events.ts";

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
  let lastMs: number | undefined;
  for await (const { content, tokens } of answerEvents(await post(mesh, ask))) {
    report.tokens += tokens;
    if (!content) continue;
    const nowMs = performance.now();
    if (lastMs === undefined) report.firstTokenMs.push(nowMs - begunMs);
    else report.betweenMs.push(nowMs - lastMs);
    lastMs = nowMs;
  }
}

export interface LeavingPlan {
  /** So many really leave before the ends of their answers. */
  readonly count: number;
  /** At the same time. */
  readonly lanes: number;
  readonly prompts: readonly string[];
  /** Enough of them that most answers are longer than anybody stays. */
  readonly maxTokens: number;
  /** Half of the clients leave after so many pieces of text, or fewer; none is one of the numbers. */
  readonly piecesMax: number;
  /** The others leave after a time up to this, milliseconds, whether they have heard anything or not. */
  readonly withinMs: number;
}

export interface LeavingReport {
  asked: number;
  /** Before the end of the answer. */
  left: number;
  /** Of these, without a piece of text. */
  leftUnheard: number;
  readonly failures: string[];
}

/** Of so many requests for each client that is to leave, enough must be left before their ends. */
const ASKED_MAX = 20;

/** Clients that leave at random points before the ends of their answers; others come until enough have left. */
export async function leave(mesh: RunningMesh, plan: LeavingPlan): Promise<LeavingReport> {
  const report: LeavingReport = { asked: 0, left: 0, leftUnheard: 0, failures: [] };
  let missing = plan.count;
  const lane = async () => {
    while (missing > 0 && report.asked < plan.count * ASKED_MAX) {
      missing--;
      const seed = report.asked++;
      const prompt = plan.prompts[seed % plan.prompts.length] ?? "";
      const visited = await visit(mesh, { prompt, maxTokens: plan.maxTokens, seed }, plan).catch(
        (error: unknown) => void report.failures.push(String(error)),
      );
      if (visited?.left) report.left++;
      else missing++;
      if (visited?.left && visited.pieces === 0) report.leftUnheard++;
    }
  };
  await Promise.all(Array.from({ length: plan.lanes }, lane));
  return report;
}

/** One client; it may be told all of its answer before it would leave. */
async function visit(
  mesh: RunningMesh,
  ask: Ask,
  { piecesMax, withinMs }: LeavingPlan,
): Promise<{ left: boolean; pieces: number }> {
  const leaving = new AbortController();
  const { signal } = leaving;
  const byTime = Math.random() < 0.5;
  const timer = byTime ? setTimeout(() => leaving.abort(), Math.random() * withinMs) : undefined;
  const stays = byTime ? Number.POSITIVE_INFINITY : Math.floor(Math.random() * (piecesMax + 1));
  let pieces = 0;
  try {
    for await (const { content, finish } of answerEvents(await post(mesh, { ...ask, signal }))) {
      if (finish !== undefined) return { left: false, pieces };
      if (pieces >= stays) leaving.abort();
      if (signal.aborted) break;
      if (content) pieces++;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
  return { left: true, pieces };
}

/** What Linux tells processor times in. */
const TICK_MS = 10;

/** What of sessions the mesh still holds: 0 everywhere when none runs. */
export async function heldSessions(transport: Transport): Promise<Record<string, number>> {
  const services = await listServiceStats(transport);
  const holders = services.filter(({ name }) => /^(stage-|drafter$)/.test(name));
  const held = holders.map(({ name, account }) => [name, (account as { sessions: number }).sessions]);
  const trees = services.filter(({ account }) => v.is(sessionAccountSchema, account)).length;
  return { ...Object.fromEntries(held), trees };
}

/** Processor time of a process so far, user and system, milliseconds in steps of ten; Linux only. */
export function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // Fields 14 and 15; the second one is a name, which may hold anything.
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13)
    .map(Number);
  return ((user ?? 0) + (system ?? 0)) * TICK_MS;
}

/** How many files a process has open; Linux only. */
export const openFilesOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Sessions that the gateway has seen cancelled since it began. */
export async function cancelledSessions(mesh: RunningMesh): Promise<number> {
  // The series is there from the first such session on.
  return (await readMetric(mesh.url, /^flowmesh_sessions_total\{[^}]*"cancelled"[^}]*\} (\d+)$/m)) || 0;
}
