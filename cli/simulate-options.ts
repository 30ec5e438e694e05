import { Command, Option } from "commander";
import type { SimulateOptions } from "../bench/simulator/simulate-command.ts";
import { SYNTHETIC_DRAFTERS } from "../bench/simulator/synthetic-trace.ts";
import { namedLink } from "./link-model.ts";
import { choice, deviceList, listOf, numberList, policyList, wholeNumber } from "./option-values.ts";

const STAGES_MAX = 64;
const SESSIONS_MAX = 10_000;
const TOKENS_MAX = 100_000;
const SEED_MAX = 2 ** 31 - 1;

/** The command `flowmesh simulate`; `run` gets what it was asked for. */
export function simulateCommand(run: (options: SimulateOptions) => Promise<void>): Command {
  const whole = (flags: string, text: string, [least, greatest]: readonly [number, number], value: number) =>
    new Option(flags, text).argParser(wholeNumber(least, greatest)).default(value);
  return new Command("simulate")
    .description("Play recorded or made-up sessions with any policy, device, link and number of stages.")
    .option("--trace <file>", "recorded sessions (default: those that come along)")
    .addOption(
      new Option("--temperatures <list>", "of a trace, the sessions at these")
        .argParser(numberList(0, 2))
        .default([0], "0"),
    )
    .addOption(choice("--synthetic <drafter>", "made-up sessions instead", Object.keys(SYNTHETIC_DRAFTERS)))
    .addOption(whole("--count <n>", "made-up sessions in all", [1, SESSIONS_MAX], 60))
    .addOption(whole("--tokens <n>", "longest answer", [3, TOKENS_MAX], 128))
    .addOption(whole("--seed <n>", "of the made-up sessions", [0, SEED_MAX], 1))
    .addOption(
      new Option("--policies <list>", "separated by spaces or ';', each as --policy of flowmesh up takes it")
        .argParser(policyList)
        .default(["naive", "pipedec", "flowspec", "fullflow"], "naive pipedec flowspec fullflow"),
    )
    .option("--tune", "also show the best setting of each policy from a small grid", false)
    .addOption(
      new Option("--stages <list>", "comma-separated")
        .argParser(listOf(/,/, wholeNumber(1, STAGES_MAX)))
        .default([4], "4"),
    )
    .addOption(
      new Option("--devices <list>", "comma-separated device models: what comes along, or .json files")
        .argParser(deviceList)
        .default(["cpu-fast"], "cpu-fast"),
    )
    .addOption(
      new Option("--links <list>", "comma-separated: none, a delay, or delay and rate, between devices")
        .argParser(listOf(/,/, namedLink))
        .default([namedLink("1ms/150mbit")], "1ms/150mbit"),
    )
    .addOption(whole("--sessions <n>", "sessions at once", [1, SESSIONS_MAX], 1))
    .option("--out <file>", "write all results there, as JSON")
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh simulate --stages 4,8,16 --links 1ms/150mbit,20ms
  $ flowmesh simulate --devices jetson-like --policies "flowspec fullflow:batch=10" --tune
  $ flowmesh simulate --synthetic eagle --sessions 4`,
    )
    .action((options: SimulateOptions) => run(options));
}
