import { mkdir, rm } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { table } from "../../bench/report-tables.ts";
import type { HeadManifest } from "../../models/draft/head-manifest.ts";
import { tokenizerSha256 } from "../../models/draft/tokenizer-hash.ts";
import { type GgufFile, openGguf } from "../../models/gguf/gguf-file.ts";
import { type LlamaConfig, readLlamaConfig } from "../../models/gguf/llama-config.ts";
import { createModelText, type ModelText } from "../../models/model-text.ts";
import { type ProvidedModel, provideModel } from "../../models/provision/model.ts";
import { DEFAULT_MODEL } from "../../models/provision/model-catalogue.ts";
import {
  type PythonEnvironment,
  type PythonEnvironmentOptions,
  providePythonEnvironment,
} from "../../models/provision/python-environment.ts";
import { stage } from "../../models/provision/staging.ts";
import { Progress, type ProgressStream } from "../progress.ts";
import type { Settings } from "../settings.ts";
import { listenForStop } from "../stop-signals.ts";
import { UsageError } from "../usage-error.ts";
import { beginningLines, ownPromptLines, turnEnds } from "./own-prompts.ts";
import type { TrainDrafterOptions } from "./train-drafter-options.ts";
import { checkHead } from "./trained-head.ts";
import { runTrainer, TRAINING_LOCK } from "./trainer.ts";
import { readTrainingPrompts, type TrainingPrompts, trainingLines } from "./training-prompts.ts";

/** Of the locked packages; on Linux PyTorch comes with CUDA's libraries. */
const LEAST_PYTHON = [3, 11] as const;
/** Without prompts of the user's: writing as many takes a few minutes of each hour, and they are answered in half of it. */
const OWN_PROMPTS_HOURLY = 1000;
const ENVIRONMENT_BYTES = process.platform === "linux" ? 9e9 : 3e9;

export interface TrainDrafterContext {
  readonly settings: Pick<Settings, "cache">;
  readonly output: ProgressStream;
}

/**
 * Trains a draft head and leaves it in a folder, checked. Stopped, the same command goes on where it was.
 * Gives the exit code.
 */
export async function trainDrafter(
  options: TrainDrafterOptions,
  { settings, output }: TrainDrafterContext,
): Promise<number> {
  const progress = new Progress(output);
  const stop = listenForStop((exitCode) => process.exit(exitCode));
  const { cache } = settings;
  try {
    progress.begin("model");
    const model = await provideModel(options.model ?? DEFAULT_MODEL, {
      cacheRoot: cache,
      signal: stop.signal,
      onProgress: ({ doneBytes, totalBytes }) => totalBytes && progress.advance(doneBytes / totalBytes),
    });
    const gguf = await openGguf(model.path);
    try {
      const config = readLlamaConfig(gguf);
      progress.done(`${model.displayName} (${model.path})`);
      const text = createModelText(gguf);
      const training = { options, model, gguf, config, text, cache, progress, signal: stop.signal };
      await train(training);
      return 0;
    } finally {
      await gguf.close();
    }
  } catch (error) {
    if (stop.exitCode === undefined) throw error;
    progress.line("stopped; the same command goes on from here");
    return stop.exitCode;
  } finally {
    stop.release();
  }
}

interface Training {
  readonly options: TrainDrafterOptions;
  readonly model: ProvidedModel;
  readonly gguf: GgufFile;
  readonly config: LlamaConfig;
  readonly text: ModelText;
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

async function train(training: Training): Promise<void> {
  const { options, model, gguf, text, cache, progress, signal } = training;
  refuseImpossibleShape(training);
  // What is wrong with files is told before anything is installed or written.
  let prompts: TrainingPrompts = { prompts: [], leftOut: [] };
  if (options.prompts.length > 0) prompts = await readPrompts(training, options.prompts);
  const own = ownPromptCount(options);
  const beginnings = own > 0 ? beginningLines(text, own) : undefined;
  const python = await environment(training);
  if (beginnings !== undefined) {
    const written = await writeOwnPrompts(training, python, beginnings);
    prompts = await readPrompts(training, [...options.prompts, written]);
  }
  const tokensPath = await keepPrompts(training, prompts);
  const out = resolve(options.out);
  await mkdir(out, { recursive: true });
  const name = options.name ?? `${model.displayName}-draft-head`;
  const args = trainerArguments(training, { name, out, tokensPath });
  await runTrainer({ python, args, progress, signal });
  progress.begin("check");
  const manifestPath = join(out, `${name}.json`);
  const check = { manifestPath, cacheDir: join(cache, "compiled"), sourceHash: model.sha256 };
  const manifest = await checkHead(gguf, check);
  progress.done(`loads and drafts: ${manifestPath}`);
  console.log(summary(manifest, options, relative(".", manifestPath)));
}

function refuseImpossibleShape({ options, config, model }: Training): void {
  const outside = options.taps?.find((tap) => tap > config.layers);
  if (outside !== undefined) {
    throw new UsageError(
      `option '--taps <list>' names layer ${outside}, and ${model.displayName} has ${config.layers} layers.`,
    );
  }
  const { vocabulary } = options;
  if (vocabulary === undefined || vocabulary <= config.vocab) return;
  throw new UsageError(
    `option '--vocabulary <n>' is ${vocabulary}, and ${model.displayName} has ${config.vocab} tokens.`,
  );
}

function ownPromptCount({ prompts, ownPrompts, hours }: TrainDrafterOptions): number {
  return ownPrompts ?? (prompts.length > 0 ? 0 : Math.ceil(hours * OWN_PROMPTS_HOURLY));
}

/** Where prompts came from, for the head's manifest. */
function sourcesOf(options: TrainDrafterOptions): string[] {
  const files = options.prompts.map((file) => basename(file));
  return ownPromptCount(options) > 0 ? [...files, "prompts that the model wrote"] : files;
}

async function readPrompts(
  { text, config, progress }: Training,
  files: readonly string[],
): Promise<TrainingPrompts> {
  progress.begin("prompts");
  const read = await readTrainingPrompts(files, text, config.contextLength);
  progress.done(`${read.prompts.length} from ${files.join(", ")}`);
  for (const line of read.leftOut) progress.line(`  ${line}`);
  return read;
}

/** Lets the model write prompts; gives the file with them. Those that are there are not written again. */
async function writeOwnPrompts(training: Training, python: string, beginnings: string): Promise<string> {
  const { options, model, config, text, cache, progress, signal } = training;
  const { seed, device, threads, workers } = options;
  const identity = JSON.stringify([model.sha256, seed, beginnings]);
  const work = join(options.work ?? join(cache, "training"), `own-prompts-${shortHash(identity)}`);
  const written = join(work, "prompts.jsonl");
  if (await Bun.file(written).exists()) return written;
  const prompts = join(work, "beginnings.tokens.jsonl");
  const out = join(work, "prompts.tokens.jsonl");
  await writeWhole(prompts, beginnings);
  const args = argumentsOf({
    ...{ model: model.path, prompts, work, out, seed, threads, workers },
    ends: [...new Set([...turnEnds(text), ...config.eosTokens])].join(","),
    device: device === "auto" ? undefined : device,
  });
  await runTrainer({ python, program: "flowmesh_training.ask", args, progress, signal });
  await writeWhole(written, ownPromptLines(await Bun.file(out).text(), text));
  // Their hidden states are as large as those of answers, and of no more use.
  await rm(join(work, "written"), { recursive: true });
  return written;
}

/** The prompts as tokens, in the work folder. */
async function keepPrompts(training: Training, { prompts }: TrainingPrompts): Promise<string> {
  const lines = trainingLines(prompts);
  const work = training.options.work ?? join(training.cache, "training", workName(training, lines));
  const path = join(work, "prompts.tokens.jsonl");
  await writeWhole(path, lines);
  return path;
}

/** The file is there whole or not at all. */
const writeWhole = (path: string, text: string) =>
  stage(path, async (aside) => {
    await Bun.write(aside, text);
    return { path: aside };
  });

/** Another model, other prompts, another kind of head or other amounts are another training. */
function workName({ options, model }: Training, lines: string): string {
  const { seed, hours, tokens, steps, answerTokens, vocabulary, layers, taps, init, workers } = options;
  const shape = [seed, hours, tokens, steps, answerTokens, vocabulary, layers, taps, init, workers];
  const identity = JSON.stringify([model.sha256, shape, lines]);
  return `${model.displayName}-${shortHash(identity)}`;
}

const shortHash = (text: string): string =>
  new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 12);

async function environment({ cache, progress, signal }: Training): Promise<string> {
  progress.begin("Python with PyTorch");
  const { python, made } = await provideTrainingPython({
    cacheRoot: cache,
    onProgress: (fraction, note) => progress.advance(fraction, note),
    signal,
  });
  progress.done(made ? "installed" : "installed before");
  return python;
}

/** The Python environment that the trainer runs in. @throws {ProvisionError} */
export function provideTrainingPython(
  options: Pick<PythonEnvironmentOptions, "cacheRoot" | "onProgress" | "signal">,
): Promise<PythonEnvironment> {
  return providePythonEnvironment({
    what: "training",
    lockFile: TRAINING_LOCK,
    leastPython: LEAST_PYTHON,
    bytesNeeded: ENVIRONMENT_BYTES,
    ...options,
  });
}

interface TrainerPlaces {
  readonly name: string;
  readonly out: string;
  readonly tokensPath: string;
}

function trainerArguments(
  { options, model, gguf, config }: Training,
  { name, out, tokensPath }: TrainerPlaces,
): string[] {
  const {
    hours,
    seed,
    device,
    tokens,
    steps,
    answerTokens,
    vocabulary,
    layers,
    taps,
    threads,
    workers,
    licence,
    init,
  } = options;
  return argumentsOf({
    model: model.path,
    prompts: tokensPath,
    eos: config.eosTokens.join(","),
    work: resolve(tokensPath, ".."),
    out,
    name,
    "target-name": model.displayName,
    sources: sourcesOf(options).join(", "),
    hours,
    seed,
    device: device === "auto" ? undefined : device,
    tokens,
    steps,
    "answer-tokens": answerTokens,
    vocabulary,
    layers,
    taps: taps?.join(","),
    threads,
    workers,
    licence,
    "tokenizer-sha256": tokenizerSha256(gguf),
    init: init === undefined ? undefined : resolve(init),
  });
}

const argumentsOf = (values: Readonly<Record<string, string | number | undefined>>): string[] =>
  Object.entries(values).flatMap(([option, value]) =>
    value === undefined ? [] : [`--${option}`, String(value)],
  );

function summary(manifest: HeadManifest, { model }: TrainDrafterOptions, path: string): string {
  const modelOption = model === undefined ? "" : ` --model ${model}`;
  const next = [
    "Next:",
    `  ./flowmesh bench-drafters ${path} ngram hybrid:${path}${modelOption}`,
    `  ./flowmesh up${modelOption} --draft-head ${path}`,
  ];
  if (manifest.version === 1) return next.join("\n");
  const { rows, prompts, tokens } = manifest.acceptance;
  const measured = table(
    ["depth", "best guess right", "among the best 4", "among the best 8"],
    rows.map(({ depth, ...shares }) => [
      String(depth),
      ...[shares.top1, shares.top4, shares.top8].map((share) => share.toFixed(3)),
    ]),
  );
  const heading = `By the trainer's own measurement (${tokens} tokens of answers to ${prompts} prompts that it did not train with):`;
  return [heading, measured, "", ...next].join("\n");
}
