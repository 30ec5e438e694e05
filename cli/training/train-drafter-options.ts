import { Command, InvalidArgumentError, Option } from "commander";
import { decimalNumber, listOf, wholeNumber } from "../option-values.ts";

const COUNT_MAX = 2 ** 31 - 1;
const HOURS_MAX = 10_000;
const THREADS_MAX = 256;
const WORKERS_MAX = 64;
const LAYERS_MAX = 8;
const TAP_MAX = 1024;
const OWN_PROMPTS_MAX = 1_000_000;
/** A head of fewer tokens could hardly draft anything; the target's own number is checked when it is known. */
const VOCABULARY_MIN = 16;

/** `flowmesh train-drafter`, as asked for on the command line; every value has passed its option's check. */
export interface TrainDrafterOptions {
  /** Name, path or URL; absent: the default model. */
  readonly model?: string;
  /** Files with prompts, JSON lines. */
  readonly prompts: readonly string[];
  /** Prompts that the model writes itself; absent: as many as the time is good for if no file is named, else none. */
  readonly ownPrompts?: number;
  /** Time for answers, training and measuring together; what is loaded or installed first is not counted. */
  readonly hours: number;
  /** Folder for the head. */
  readonly out: string;
  /** Of the head's two files; absent: the model's. */
  readonly name?: string;
  readonly seed: number;
  /** Tokens of the target's answers to train with; absent: as many as the trainer thinks right for the time. */
  readonly tokens?: number;
  /** Training steps; absent: as many as fit into the time. */
  readonly steps?: number;
  /** Longest answer. */
  readonly answerTokens?: number;
  /** Tokens that the head can draft. */
  readonly vocabulary?: number;
  /** Decoder layers. */
  readonly layers?: number;
  /** 1-based layers of the target, ascending. */
  readonly taps?: readonly number[];
  /** A head to go on from. */
  readonly init?: string;
  readonly device: "auto" | "cpu" | "cuda";
  readonly threads?: number;
  /** Processes that answer and train side by side on the CPU. */
  readonly workers?: number;
  /** Of the weights, for the manifest. */
  readonly licence?: string;
  /** Folder for all that is between prompts and head; absent: one in the cache. */
  readonly work?: string;
}

/** The command `flowmesh train-drafter`; `run` gets what it was asked for. */
export function trainDrafterCommand(run: (options: TrainDrafterOptions) => Promise<void>): Command {
  const whole = (flags: string, text: string, least: number, greatest: number) =>
    new Option(flags, text).argParser(wholeNumber(least, greatest));
  return new Command("train-drafter")
    .description("Train a draft head for a model, on the model's own answers; goes on where it was stopped.")
    .addOption(
      new Option(
        "--prompts <file...>",
        'JSON lines, each {"prompt": …} or {"turns": […]}; several files may be named',
      ).default([], "the model writes its own"),
    )
    .addOption(
      whole(
        "--own-prompts <n>",
        "prompts that the model begins to write itself (default: 1,000 an hour if none are named)",
        1,
        OWN_PROMPTS_MAX,
      ),
    )
    .option("--model <name|path|url>", "a GGUF model: a known name, a file, or where to fetch it")
    .addOption(
      new Option("--hours <h>", "time for answers and training together")
        .argParser(decimalNumber(0.001, HOURS_MAX))
        .default(2),
    )
    .option("--out <folder>", "where the head's two files go", ".")
    .addOption(new Option("--name <name>", "of the head's files (default: the model's)").argParser(fileName))
    .addOption(whole("--seed <n>", "the same seed gives the same head", 0, COUNT_MAX).default(1))
    .addOption(
      whole(
        "--tokens <n>",
        "tokens of answers to train with (default: what the time is good for)",
        1,
        COUNT_MAX,
      ),
    )
    .addOption(whole("--steps <n>", "training steps (default: what fits into the time)", 1, COUNT_MAX))
    .addOption(whole("--answer-tokens <n>", "longest answer", 2, COUNT_MAX))
    .addOption(whole("--vocabulary <n>", "tokens that the head can draft", VOCABULARY_MIN, COUNT_MAX))
    .addOption(whole("--layers <n>", "decoder layers of the head", 1, LAYERS_MAX))
    .addOption(
      new Option(
        "--taps <list>",
        "comma-separated layers of the model that the head reads, from 1 on",
      ).argParser(tapList),
    )
    .option("--init <file>", "manifest (.json) of a head to go on from")
    .addOption(new Option("--device <kind>", "what trains").choices(["auto", "cpu", "cuda"]).default("auto"))
    .addOption(whole("--threads <n>", "processor threads (default: all cores)", 1, THREADS_MAX))
    .addOption(
      whole("--workers <n>", "processes that share the cores; each needs the memory of one", 1, WORKERS_MAX),
    )
    .option("--licence <text>", "of the head, for its manifest")
    .option("--work <folder>", "keep answers and checkpoints there (default: in the cache)")
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh train-drafter --model ./my.gguf --hours 8
  $ flowmesh train-drafter --prompts my-prompts.jsonl --hours 8
  $ flowmesh train-drafter --model ./my.gguf --prompts a.jsonl b.jsonl --layers 2 --vocabulary 16384 --out heads

Prompts that share 13 words in a row with those of flowmesh bench are left out: see docs/drafters.md.`,
    )
    .action((options: TrainDrafterOptions) => run(options));
}

function fileName(text: string): string {
  if (/^[\w][\w.-]{0,99}$/.test(text)) return text;
  throw new InvalidArgumentError("It must be a file name of letters, digits, '.', '-' and '_'.");
}

function tapList(text: string): number[] {
  const taps = listOf(/,/, wholeNumber(1, TAP_MAX))(text);
  if (taps.every((tap, i) => tap > (taps[i - 1] ?? 0))) return taps;
  throw new InvalidArgumentError("Layers must be in ascending order.");
}
