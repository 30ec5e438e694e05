import { Command, Option } from "commander";
import type { BenchOptions } from "../bench/bench-options.ts";
import { namedLink } from "./link-model.ts";
import { choice, deviceList, listOf, numberList, policyList, wholeNumber } from "./option-values.ts";
import { DRAFTERS, NUMERICS } from "./role.ts";

const STAGES_MAX = 64;
const COUNT_MAX = 2 ** 31 - 1;
const POLICIES = ["autoregressive", "naive", "pruned", "pipedec", "flowspec", "fullflow"];
const DEVICES = ["real", "jetson-like"];

/** The command `flowmesh bench`; `run` gets what it was asked for. */
export function benchCommand(run: (options: BenchOptions) => Promise<void>): Command {
  const whole = (flags: string, text: string, [least, greatest]: readonly [number, number], value: number) =>
    new Option(flags, text).argParser(wholeNumber(least, greatest)).default(value);
  return new Command("bench")
    .description("Measure policies against each other on meshes that are started for it; takes its time.")
    .addOption(whole("--stages <n>", "pipeline stages", [1, STAGES_MAX], 4))
    .addOption(
      new Option("--devices <list>", "comma-separated device models; real: as fast as this machine is")
        .argParser(deviceList)
        .default(DEVICES, DEVICES.join(",")),
    )
    .addOption(
      new Option(
        "--links <list>",
        "comma-separated: delay, or delay and rate, of links between stages; or none",
      )
        .argParser(listOf(/,/, namedLink))
        .default([namedLink("none")], "none"),
    )
    .addOption(
      new Option("--policies <list>", "separated by spaces or ';', each as --policy of flowmesh up takes it")
        .argParser(policyList)
        .default(POLICIES, POLICIES.join(" ")),
    )
    .option("--tune", "add the best setting of each policy, by simulation of other prompts", false)
    .option("--baseline <policy>", "second policy to give ratios to (default: naive, if it plays)")
    .addOption(whole("--prompts <n>", "prompts, taken evenly from the file", [1, COUNT_MAX], 12))
    .option("--file <path>", "prompts, JSON lines (default: those that come along)")
    .addOption(whole("--tokens <n>", "longest answer", [3, COUNT_MAX], 64))
    .addOption(whole("--repeats <n>", "times that each policy answers each prompt", [1, COUNT_MAX], 5))
    .addOption(
      new Option("--temperatures <list>", "comma-separated").argParser(numberList(0, 2)).default([0], "0"),
    )
    .addOption(whole("--seed <n>", "of the answers' noise", [0, COUNT_MAX], 1))
    .addOption(choice("--numerics <kind>", "arithmetic of the stages", NUMERICS).default("fast"))
    .addOption(choice("--drafter <kind>", "what guesses tokens ahead", DRAFTERS).default("auto"))
    .option("--draft-head <file>", "manifest (.json) of a draft head (default: the one that comes along)")
    .option("--hops", "only measure what passing segments on costs, without a model")
    .option("--profile", "also tell where the milliseconds of a token go", false)
    .option("--predict", "also tell what the simulator says of the same prompts, stages and links", false)
    .option("--record <file>", "also write what the drafter guesses for the prompts, for flowmesh simulate")
    .option("--out <folder>", "write report, plots and all figures there")
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh bench --out results
  $ flowmesh bench --devices jetson-like --links 1ms/150mbit,20ms --profile
  $ flowmesh bench --policies "flowspec flowspec:total=16,topK=4 fullflow" --baseline flowspec --tune`,
    )
    .action((options: BenchOptions) => run(options));
}
