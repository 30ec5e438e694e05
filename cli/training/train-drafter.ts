import { mkdir, rename } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { table } from "../../bench/report-tables.ts";
import type { HeadManifest } from "../../models/draft/head-manifest.ts";
import { tokenizerSha256 } from "../../models/draft/tokenizer-hash.ts";
import { type GgufFile, openGguf } from "../../models/gguf/gguf-file.ts";
import { type LlamaConfig, readLlamaConfig } from "../../models/gguf/llama-config.ts";
import { createModelText } from "../../models/model-text.ts";
import { type ProvidedModel, provideModel } from "../../models/provision/model.ts";
import { DEFAULT_MODEL } from "../../models/provision/model-catalogue.ts";
import {
  type PythonEnvironment,
  type PythonEnvironmentOptions,
  providePythonEnvironment,
} from "../../models/provision/python-environment.ts";
import { Progress, type ProgressStream } from "../progress.ts";
import type { Settings } from "../settings.ts";
import { listenForStop } from "../stop-signals.ts";
import { UsageError } from "../usage-error.ts";
import type { TrainDrafterOptions } from "./train-drafter-options.ts";
import { checkHead } from "./trained-head.ts";
import { runTrainer, TRAINING_LOCK } from "./trainer.ts";
import { readTrainingPrompts, trainingLines } from "./training-prompts.ts";

/** Of the locked packages; on Linux PyTorch comes with CUDA's libraries. */
const LEAST_PYTHON = [3, 11] as const;
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
      const training = { options, model, gguf, config, cache, progress, signal: stop.signal };
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
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

async function train(training: Training): Promise<void> {
  const { options, model, gguf, cache, progress, signal } = training;
  refuseImpossibleShape(training);
  const tokensPath = await writePrompts(training);
  const out = resolve(options.out);
  await mkdir(out, { recursive: true });
  const python = await environment(training);
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

/** The prompts as tokens, in the work folder. */
async function writePrompts(training: Training): Promise<string> {
  const { options, gguf, config, progress } = training;
  progress.begin("prompts");
  const { prompts, leftOut } = await readTrainingPrompts(
    options.prompts,
    createModelText(gguf),
    config.contextLength,
  );
  const lines = trainingLines(prompts);
  const work = options.work ?? join(training.cache, "training", workName(training, lines));
  await mkdir(work, { recursive: true });
  const path = join(work, "prompts.tokens.jsonl");
  await Bun.write(`${path}.partial`, lines);
  await rename(`${path}.partial`, path);
  progress.done(`${prompts.length} from ${options.prompts.join(", ")}`);
  for (const line of leftOut) progress.line(`  ${line}`);
  return path;
}

/** Another model, other prompts, another kind of head or other amounts are another training. */
function workName({ options, model }: Training, lines: string): string {
  const { seed, hours, tokens, steps, answerTokens, vocabulary, layers, taps, init } = options;
  const shape = [seed, hours, tokens, steps, answerTokens, vocabulary, layers, taps, init];
  const identity = JSON.stringify([model.sha256, shape, lines]);
  const hash = new Bun.CryptoHasher("sha256").update(identity).digest("hex").slice(0, 12);
  return `${model.displayName}-${hash}`;
}

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
  const values: Record<string, string | number | undefined> = {
    model: model.path,
    prompts: tokensPath,
    eos: config.eosTokens.join(","),
    work: resolve(tokensPath, ".."),
    out,
    name,
    "target-name": model.displayName,
    sources: options.prompts.map((file) => basename(file)).join(", "),
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
  };
  return Object.entries(values).flatMap(([option, value]) =>
    value === undefined ? [] : [`--${option}`, String(value)],
  );
}

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
