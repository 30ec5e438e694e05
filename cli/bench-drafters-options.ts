import { Argument, Command, InvalidArgumentError, Option } from "commander";
import type { BenchDraftersOptions } from "../bench/drafters/bench-drafters-options.ts";
import { DRAFTER_FORMS, type DrafterSource, parseDrafter } from "../bench/drafters/drafter-source.ts";
import { namedLink } from "./link-model.ts";
import { choice, deviceList, numberList, policyList, wholeNumber } from "./option-values.ts";
import { NUMERICS } from "./role.ts";

const STAGES_MAX = 64;
const THREADS_MAX = 256;
const COUNT_MAX = 2 ** 31 - 1;
const DRAFTERS: readonly DrafterSource[] = ["head", "ngram", "hybrid"].flatMap(
  (name) => parseDrafter(name) ?? [],
);
const POLICIES = ["flowspec", "fullflow"];
const DEVICES = ["jetson-like", "cpu-fast"];

/** The command `flowmesh bench-drafters`; `run` gets what it was asked for. */
export function benchDraftersCommand(run: (options: BenchDraftersOptions) => Promise<void>): Command {
  const whole = (flags: string, text: string, [least, greatest]: readonly [number, number], value: number) =>
    new Option(flags, text).argParser(wholeNumber(least, greatest)).default(value);
  return new Command("bench-drafters")
    .description("Measure drafters against each other on the target's own answers; starts no mesh.")
    .addArgument(
      new Argument("[drafter...]", `${DRAFTER_FORMS}; the others are compared with the first`)
        .argParser(addDrafter)
        .default(DRAFTERS, "head ngram hybrid"),
    )
    .option("--model <name|path|url>", "a GGUF model: a known name, a file, or where to fetch it")
    .addOption(whole("--prompts <n>", "prompts, taken evenly from the file", [1, COUNT_MAX], 12))
    .option("--file <path>", "prompts, JSON lines (default: those that come along)")
    .addOption(whole("--tokens <n>", "longest answer", [3, COUNT_MAX], 64))
    .addOption(
      new Option("--temperatures <list>", "comma-separated")
        .argParser(numberList(0, 2))
        .default([0, 1], "0,1"),
    )
    .addOption(whole("--seed <n>", "of the answers' noise", [0, COUNT_MAX], 1))
    .option("--independent", "rank guesses without the noise that the target will add", false)
    .addOption(choice("--numerics <kind>", "arithmetic of the target", NUMERICS).default("fast"))
    .addOption(whole("--threads <n>", "threads of each drafter, which is timed", [1, THREADS_MAX], 1))
    .addOption(
      new Option("--policies <list>", "simulated, separated by spaces or ';'")
        .argParser(policyList)
        .default(POLICIES, POLICIES.join(" ")),
    )
    .addOption(whole("--stages <n>", "simulated pipeline stages", [1, STAGES_MAX], 4))
    .addOption(
      new Option("--devices <list>", "comma-separated device models of the simulated stages, or .json files")
        .argParser(deviceList)
        .default(DEVICES, DEVICES.join(",")),
    )
    .addOption(
      new Option("--link <delay[/rate]>", "between simulated stages, or none")
        .argParser(namedLink)
        .default(namedLink("1ms/150mbit"), "1ms/150mbit"),
    )
    .option("--out <folder>", "write report, figures and traces for flowmesh simulate there")
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh bench-drafters --prompts 60 --out results
  $ flowmesh bench-drafters head ./new-head.json hybrid hybrid:./new-head.json --prompts 60
  $ flowmesh bench-drafters ngram ./my-head.json --model ./my.gguf --file my-prompts.jsonl`,
    )
    .action((drafters: readonly DrafterSource[], options: Omit<BenchDraftersOptions, "drafters">) =>
      run({ ...options, drafters }),
    );
}

function addDrafter(text: string, previous: readonly DrafterSource[]): readonly DrafterSource[] {
  const drafter = parseDrafter(text);
  if (drafter === undefined) throw new InvalidArgumentError(`It must be ${DRAFTER_FORMS}.`);
  const others = previous === DRAFTERS ? [] : previous;
  if (others.some(({ name }) => name === text)) throw new InvalidArgumentError("It is named twice.");
  return [...others, drafter];
}
