import { join } from "node:path";
import { type DeviceModel, readDeviceModel } from "../../cli/device-model.ts";
import { Progress } from "../../cli/progress.ts";
import { readSettings } from "../../cli/settings.ts";
import { listenForStop } from "../../cli/stop-signals.ts";
import type { ChatMessage } from "../../models/chat-template.ts";
import { DEFAULT_HEAD_MANIFEST } from "../../models/draft/compile-head.ts";
import { readHeadManifest } from "../../models/draft/head-manifest.ts";
import { type SessionTrace, writeTrace } from "../acceptance-trace.ts";
import { type BenchPrompt, PROMPTS_FILE, PromptFileError, readPrompts, splitPrompts } from "../prompts.ts";
import { provenance } from "../provenance.ts";
import { openResultFolder } from "../result-folder.ts";
import { showRemaining } from "../time-left.ts";
import type { BenchDraftersOptions } from "./bench-drafters-options.ts";
import { renderDrafters } from "./drafter-report.ts";
import {
  type AnswerResult,
  costsOf,
  type DrafterResult,
  type DraftersResult,
  summariseTimes,
} from "./drafter-result.ts";
import type { OpenDrafter } from "./drafter-source.ts";
import { type DraftTimes, type FollowOptions, followAnswer } from "./followed-answer.ts";
import { type OpenBench, openBench } from "./open-bench.ts";
import { playAnswers } from "./played-answers.ts";
import { answerOf, type TargetAnswer } from "./target-answer.ts";

/**
 * Has the target answer prompts and asks each drafter at each token what it would have guessed; then plays the
 * guesses with policies in the simulator. Writes a report. Gives the exit code.
 */
export async function benchDrafters(options: BenchDraftersOptions): Promise<number> {
  const devices: DeviceModel[] = [];
  for (const device of options.devices) devices.push(await readDeviceModel(device));
  const { measured } = splitPrompts(await readPrompts(options.file ?? PROMPTS_FILE), options.prompts);
  const folder = options.out === undefined ? undefined : await openResultFolder(options.out);
  const stop = listenForStop((exitCode) => process.exit(exitCode));
  const progress = new Progress(process.stderr);
  try {
    progress.begin("model and drafters");
    const bench = await openBench(options, readSettings().cache);
    try {
      progress.done(`${bench.modelName}; ${options.drafters.map(({ name }) => name).join(", ")}`);
      const followed = await followAll(bench, { options, prompts: measured, progress, signal: stop.signal });
      progress.begin("simulation");
      const drafters: DrafterResult[] = [];
      for (const one of followed) drafters.push(await resultOf(one, bench, { options, devices }));
      progress.done(`${options.policies.join(", ")} on ${options.devices.join(", ")}`);
      const result: DraftersResult = { ...(await provenance()), options, model: bench.modelName, drafters };
      const report = `${renderDrafters(result)}\n`;
      await folder?.write([
        { name: "drafters.json", text: `${JSON.stringify(result, null, 1)}\n` },
        { name: "drafters.md", text: report },
      ]);
      if (options.out !== undefined) await writeTraces(options.out, bench.modelName, followed);
      console.log(report);
      return 0;
    } finally {
      await bench.close();
    }
  } catch (error) {
    // Called off by the user: what was under way then fails, and that is no news.
    if (stop.exitCode !== undefined) return stop.exitCode;
    throw error;
  } finally {
    stop.release();
  }
}

interface Followed {
  readonly drafter: OpenDrafter;
  readonly answers: AnswerResult[];
  readonly times: DraftTimes[];
  readonly traces: SessionTrace[];
}

interface FollowAll {
  readonly options: BenchDraftersOptions;
  readonly prompts: readonly BenchPrompt[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Every answer to every turn at every temperature, followed by every drafter. */
async function followAll(
  bench: OpenBench,
  { options, prompts, progress, signal }: FollowAll,
): Promise<Followed[]> {
  const { temperatures, seed, independent } = options;
  const followed = bench.drafters.map(
    (drafter): Followed => ({ drafter, answers: [], times: [], traces: [] }),
  );
  progress.begin("answers and guesses");
  const advance = showRemaining(progress);
  const all = temperatures.length * prompts.length;
  let done = 0;
  for (const temperature of temperatures) {
    for (const [index, prompt] of prompts.entries()) {
      const sampling = { temperature, seed: seed + index, coupled: !independent };
      const messages: ChatMessage[] = [];
      for (const [turn, content] of prompt.turns.entries()) {
        messages.push({ role: "user", content });
        const answer = await turnAnswer(bench, { prompt, messages, sampling, options });
        for (const one of followed) {
          signal.throwIfAborted();
          await followOne(one, answer, { prompt, turn: turn + 1, sampling });
        }
        const decoder = bench.text.decoder();
        messages.push({ role: "assistant", content: decoder.push(answer.tokens) + decoder.flush() });
      }
      advance(++done / all);
    }
  }
  progress.done(`${followed[0]?.answers.length ?? 0} answers`);
  return followed;
}

interface Turn {
  readonly prompt: BenchPrompt;
  readonly messages: readonly ChatMessage[];
  readonly sampling: FollowOptions;
  readonly options: BenchDraftersOptions;
}

function turnAnswer(bench: OpenBench, { prompt, messages, sampling, options }: Turn): Promise<TargetAnswer> {
  const tokens = bench.text.encodeChat(messages);
  const room = bench.contextLength - tokens.length;
  if (room < 1) {
    throw new PromptFileError(
      `prompt "${prompt.id}" has ${tokens.length} tokens, and ${bench.modelName} can take ${bench.contextLength} ` +
        "with the answer; leave it out or shorten it",
    );
  }
  const maxTokens = Math.min(options.tokens, room);
  return answerOf(bench.target, { prompt: tokens, ...sampling, maxTokens, stopTokens: bench.text.endTokens });
}

async function followOne(
  { drafter, answers, times, traces }: Followed,
  answer: TargetAnswer,
  { prompt, turn, sampling }: { prompt: BenchPrompt; turn: number; sampling: FollowOptions },
): Promise<void> {
  const { id, kind } = prompt;
  const { temperature } = sampling;
  const { hits, trees, times: own } = await followAnswer(drafter, answer, sampling);
  const { tokens } = answer;
  answers.push({ prompt: id, kind, turn, temperature, tokens: tokens.length, hits });
  times.push(own);
  const promptTokens = answer.prompt.length;
  traces.push({ prompt: id, kind, temperature, promptTokens, tokens: [...tokens], trees: [...trees] });
}

async function resultOf(
  { drafter, answers, times: all, traces }: Followed,
  { hidden }: OpenBench,
  { options, devices }: { options: BenchDraftersOptions; devices: readonly DeviceModel[] },
): Promise<DrafterResult> {
  const { source, engine } = drafter;
  const times = summariseTimes(all);
  const draft = { traces, costs: costsOf(times), taps: engine.taps.length, hidden };
  const played = playAnswers(draft, options, devices);
  const result = { name: source.name, answers, times, played };
  if (source.kind === "ngram") return result;
  const manifest = await readHeadManifest(source.manifestPath ?? DEFAULT_HEAD_MANIFEST);
  const { layers, taps, draftVocabulary: vocabulary, weights } = manifest;
  return { ...result, head: { layers, taps, vocabulary, sha256: weights.sha256 } };
}

/** For `flowmesh simulate --trace`. */
async function writeTraces(out: string, model: string, followed: readonly Followed[]): Promise<void> {
  for (const [index, { drafter, traces }] of followed.entries()) {
    const { name } = drafter.source;
    const date = new Date().toISOString();
    const header = { format: "flowmesh acceptance trace 1", model, drafter: name, date } as const;
    const readable = name.replace(/\.json$/, "").replaceAll(/[^\w.-]+/g, "-");
    await writeTrace(join(out, `${index + 1}-${readable}.jsonl.gz`), { header, sessions: traces });
  }
}
