import { Argument, Command, Option } from "commander";
import type { BenchOptions } from "../bench/bench.ts";
import packageJson from "../package.json" with { type: "json" };
import type { ChatCommandOptions } from "./chat-command.ts";
import { GROUP_NAMES } from "./check-groups.ts";
import { choice, decimalNumber, meshName, numberList, wholeNumber } from "./option-values.ts";
import { DRAFTERS, NUMERICS, POLICIES, PRESETS } from "./role.ts";
import type { UpOptions } from "./up-options.ts";

const STAGES_MAX = 64;
const THREADS_MAX = 256;
const PORT_MAX = 65_535;
const COUNT_MAX = 2 ** 31 - 1;

/** What the command line can ask for; each command's code is only loaded when it runs. */
export interface Commands {
  up(options: UpOptions): Promise<void>;
  chat(options: ChatCommandOptions): Promise<void>;
  bench(options: BenchOptions): Promise<void>;
  test(options: { readonly only?: string; readonly filters: readonly string[] }): Promise<void>;
  actor(): Promise<void>;
}

export function buildProgram(commands: Commands): Command {
  const program = new Command("flowmesh")
    .description(
      "One large language model on several machines: a pipeline of actors over NATS, kept full by speculation.",
    )
    .version(packageJson.version, "-V, --version")
    .showHelpAfterError("(flowmesh --help shows what there is)")
    .showSuggestionAfterError();
  program.addCommand(upCommand(commands));
  program.addCommand(chatCommand(commands));
  program.addCommand(benchCommand(commands));
  program.addCommand(testCommand(commands));
  program.addCommand(
    new Command("actor").action(() => commands.actor()),
    { hidden: true },
  );
  program.addHelpText(
    "after",
    `
Examples:
  $ flowmesh up                                    start four stages and the API on this machine
  $ flowmesh up --stages 2 --port 9000             two stages, another port
  $ flowmesh up --model ./model.gguf               a model file of your own
  $ flowmesh chat "What is a pipeline?"            ask the running mesh
  $ flowmesh test --only unit                      check this copy of the code

Environment:
  FLOWMESH_HOME         where downloads and compiled models are kept
  FLOWMESH_LOG          debug, info, warn (default) or error
  FLOWMESH_LOG_FORMAT   text (default) or json`,
  );
  return program;
}

function upCommand(commands: Commands): Command {
  const port = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1, PORT_MAX));
  return new Command("up")
    .description("Start a whole mesh on this machine: nats-server, stages, drafter and the HTTP API.")
    .addOption(new Option("--stages <n>", "pipeline stages").argParser(wholeNumber(1, STAGES_MAX)).default(4))
    .option("--model <name|path|url>", "a GGUF model: a known name, a file, or where to fetch it")
    .addOption(port("--port <port>", "port of the HTTP API").default(8080))
    .option("--host <address>", "address that the HTTP API listens on", "127.0.0.1")
    .addOption(choice("--policy <name>", "how tokens are decoded", POLICIES).default("flowspec"))
    .addOption(choice("--preset <name>", "sizes of the draft tree and its segments", PRESETS).default("auto"))
    .addOption(choice("--numerics <kind>", "arithmetic of the stages", NUMERICS).default("fast"))
    .addOption(choice("--drafter <kind>", "what guesses tokens ahead", DRAFTERS).default("auto"))
    .addOption(port("--nats-port <port>", "port of nats-server (default: 4222, or a free one)"))
    .addOption(
      new Option("--threads <n>", "threads of each stage (default: cores / stages)").argParser(
        wholeNumber(1, THREADS_MAX),
      ),
    )
    .addOption(new Option("--mesh <name>", "name in all NATS subjects").argParser(meshName).default("home"))
    .option("--device <name|file>", "make stages as slow as this device, for measurements")
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh up --policy autoregressive            plain decoding, for comparison
  $ flowmesh up --host 0.0.0.0                     let other machines use the API
  $ flowmesh up --nats-port 4333 --mesh lab        fixed NATS port, subjects flow.lab.>`,
    )
    .action((options: UpOptions) => commands.up(options));
}

function chatCommand(commands: Commands): Command {
  const number = (flags: string, text: string, parse: (text: string) => number) =>
    new Option(flags, text).argParser(parse);
  return new Command("chat")
    .description("Talk with a mesh that is up.")
    .addArgument(new Argument("[prompt]", "one question; without it, a conversation"))
    .option("--url <url>", "where the mesh's API is", "http://127.0.0.1:8080")
    .option("--model <name>", "model to ask (default: the one that is served)")
    .addOption(choice("--policy <name>", "how tokens are decoded", POLICIES))
    .addOption(number("--temperature <t>", "0 takes the likeliest token", decimalNumber(0, 2)))
    .addOption(number("--top-p <p>", "sample from the likeliest tokens of this mass", decimalNumber(0, 1)))
    .addOption(number("--top-k <n>", "sample from this many likeliest tokens", wholeNumber(1, COUNT_MAX)))
    .addOption(number("--seed <n>", "the same seed gives the same answer", wholeNumber(0, COUNT_MAX)))
    .addOption(number("--max-tokens <n>", "longest answer", wholeNumber(1, COUNT_MAX)))
    .addHelpText("after", '\nExamples:\n  $ flowmesh chat\n  $ flowmesh chat --temperature 0 "Count to ten."')
    .action((prompt: string | undefined, options: ChatCommandOptions) =>
      commands.chat(prompt === undefined ? options : { ...options, prompt }),
    );
}

function benchCommand(commands: Commands): Command {
  const whole = (flags: string, text: string, least: number, fallback: number) =>
    new Option(flags, text).argParser(wholeNumber(least, COUNT_MAX)).default(fallback);
  return new Command("bench")
    .description("Measure the policies against each other on this machine; takes some minutes.")
    .addOption(whole("--stages <n>", "pipeline stages", 1, 4))
    .addOption(whole("--prompts <n>", "prompts, taken evenly from the file", 1, 12))
    .addOption(whole("--tokens <n>", "longest answer", 2, 64))
    .addOption(whole("--repeats <n>", "times that each prompt is answered by each policy", 1, 5))
    .option("--file <path>", "prompts, JSON lines (default: those that come along)")
    .addOption(
      new Option("--temperatures <list>", "comma-separated").argParser(numberList(0, 2)).default([0], "0"),
    )
    .addOption(
      new Option("--devices <list>", "comma-separated device models; real: as fast as this machine is")
        .argParser((text: string) => text.split(","))
        .default(["real", "cpu-fast"], "real,cpu-fast"),
    )
    .addOption(choice("--numerics <kind>", "arithmetic of the stages", NUMERICS).default("fast"))
    .addOption(choice("--preset <name>", "sizes of the draft tree and its segments", PRESETS).default("auto"))
    .addOption(choice("--drafter <kind>", "what guesses tokens ahead", DRAFTERS).default("auto"))
    .option("--out <file>", "write all results there, as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  $ flowmesh bench\n  $ flowmesh bench --devices jetson-like --preset paper",
    )
    .action((options: BenchOptions) => commands.bench(options));
}

function testCommand(commands: Commands): Command {
  return new Command("test")
    .description("Check this copy of the code: format, lint, types, dead code and all tests.")
    .addOption(choice("--only <group>", "run one group", GROUP_NAMES))
    .addArgument(new Argument("[filter...]", "run only test files whose path contains this; no house checks"))
    .addHelpText(
      "after",
      "\nExamples:\n  $ flowmesh test\n  $ flowmesh test --only types\n  $ flowmesh test transport",
    )
    .action((filters: string[], options: { only?: string }) => commands.test({ ...options, filters }));
}
