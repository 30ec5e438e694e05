import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import { systemClock } from "../actors/runtime/clock.ts";
import { SessionClient } from "../actors/session-client.ts";
import { readSettings } from "../cli/settings.ts";
import { loadModelText, type ModelText } from "../models/model-text.ts";
import { provideModel } from "../models/provision/model.ts";
import { DEFAULT_MODEL } from "../models/provision/model-catalogue.ts";
import { connectNats } from "../transport/nats.ts";
import { type HopCost, measureHops } from "./hop.ts";
import { type ActorProcess, listProcesses } from "./mesh-inventory.ts";
import { type BenchPrompt, readPrompts } from "./prompts.ts";
import { renderReport } from "./report.ts";
import { startMesh } from "./running-mesh.ts";
import { runSession, type SessionRun } from "./session-run.ts";

/** `flowmesh bench`, as asked for on the command line. */
export interface BenchOptions {
  readonly stages: number;
  readonly prompts: number;
  readonly tokens: number;
  readonly repeats: number;
  readonly file?: string;
  readonly temperatures: readonly number[];
  readonly devices: readonly string[];
  readonly numerics: string;
  readonly preset: string;
  readonly drafter: string;
  readonly out?: string;
}

export interface Measured extends SessionRun {
  readonly prompt: string;
  readonly kind: string;
  readonly temperature: number;
  readonly repeat: number;
}

export interface Scenario {
  /** "real", or the device model that the stages acted like. */
  readonly device: string;
  readonly runs: readonly Measured[];
  readonly actors: readonly ActorProcess[];
}

export interface BenchResult {
  readonly options: BenchOptions;
  readonly machine: string;
  readonly date: string;
  readonly scenarios: readonly Scenario[];
  readonly hops: readonly HopCost[];
}

const PROMPTS_FILE = join(import.meta.dir, "prompts.jsonl");
/** Nodes a segment, and the default model's row. */
const HOP_FRAMES = { sizes: [1, 16, 64], width: 576 };
const BASELINE = "autoregressive";
const POLICIES = [BASELINE, "flowspec"];

/** Plays the same prompts with each policy in turn on one running mesh a device, and writes a report. */
export async function bench(options: BenchOptions): Promise<void> {
  const text = await loadDefaultText();
  const prompts = evenly(await readPrompts(options.file ?? PROMPTS_FILE), options.prompts);
  const scenarios: Scenario[] = [];
  let hops: HopCost[] = [];
  for (const device of options.devices) {
    const pace = device === "real" ? [] : ["--device", device];
    const args = ["--stages", String(options.stages), "--numerics", options.numerics];
    const mesh = await startMesh(...args, "--preset", options.preset, "--drafter", options.drafter, ...pace);
    const transport = await connectNats({ url: mesh.natsUrl, name: "bench" });
    const sessions = new SessionClient({ mesh: mesh.mesh, transport, clock: systemClock });
    try {
      const runs = await playAll(sessions, { text, prompts, options, device });
      scenarios.push({ device, runs, actors: await listProcesses(transport, mesh.pid) });
      if (hops.length === 0) hops = await measureHops(mesh.natsUrl, transport, HOP_FRAMES);
    } finally {
      sessions.close();
      await transport.close();
      await mesh.stop();
    }
  }
  const machine = `${cpus()[0]?.model ?? "unknown processor"}, ${availableParallelism()} cores`;
  const result: BenchResult = { options, machine, date: new Date().toISOString(), scenarios, hops };
  if (options.out !== undefined) await Bun.write(options.out, `${JSON.stringify(result, null, 1)}\n`);
  console.log(renderReport(result));
}

interface Play {
  readonly text: ModelText;
  readonly prompts: readonly BenchPrompt[];
  readonly options: BenchOptions;
  readonly device: string;
}

/** One prompt, at one temperature, for the so-manieth time. */
interface Round {
  readonly prompt: BenchPrompt;
  readonly index: number;
  readonly temperature: number;
  readonly repeat: number;
}

/** Repeat 0 warms up, and is not counted. */
function* rounds(prompts: readonly BenchPrompt[], { temperatures, repeats }: BenchOptions): Generator<Round> {
  for (const temperature of temperatures) {
    for (const [index, prompt] of prompts.slice(0, 1).entries())
      yield { prompt, index, temperature, repeat: 0 };
    for (let repeat = 1; repeat <= repeats; repeat++) {
      for (const [index, prompt] of prompts.entries()) yield { prompt, index, temperature, repeat };
    }
  }
}

async function playAll(
  sessions: SessionClient,
  { text, prompts, options, device }: Play,
): Promise<Measured[]> {
  while (!sessions.status().ready) await Bun.sleep(100);
  const all = [...rounds(prompts, options)];
  const runs: Measured[] = [];
  for (const [done, round] of all.entries()) {
    const played = await playRound(sessions, text, options.tokens, round);
    if (round.repeat > 0) runs.push(...played);
    showProgress(device, done + 1, all.length);
  }
  return runs;
}

/** Policies take turns within each round, so that what disturbs the machine disturbs them alike. */
async function playRound(
  sessions: SessionClient,
  text: ModelText,
  maxTokens: number,
  { prompt, index, temperature, repeat }: Round,
): Promise<Measured[]> {
  const tokens = text.encodeChat([{ role: "user", content: prompt.text }]);
  const sampling = { temperature, topP: 1, topK: 0, seed: 1 + index };
  const order = { prompt: tokens, sampling, maxTokens, stopTokens: text.endTokens };
  const runs: Measured[] = [];
  for (const policy of (index + repeat) % 2 === 0 ? POLICIES : POLICIES.toReversed()) {
    const run = await runSession(sessions, { ...order, policy });
    runs.push({ ...run, prompt: prompt.id, kind: prompt.kind, temperature, repeat });
  }
  return runs;
}

function showProgress(what: string, done: number, total: number): void {
  const end = done === total ? "\n" : "";
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${what}: ${done} of ${total}${end}`);
  else if (done === total) process.stderr.write(`${what}: ${done} of ${total}\n`);
}

async function loadDefaultText(): Promise<ModelText> {
  const { path } = await provideModel(DEFAULT_MODEL, { cacheRoot: readSettings().cache });
  return loadModelText(path);
}

/** `count` of the prompts, spread over the whole list so that every kind has its share. */
function evenly(prompts: readonly BenchPrompt[], count: number): BenchPrompt[] {
  const step = prompts.length / Math.min(count, prompts.length);
  return prompts.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}
