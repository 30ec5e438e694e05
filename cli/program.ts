import { Argument, Command, Option } from "commander";
import type { BenchOptions } from "../bench/bench-options.ts";
import type { BenchDraftersOptions } from "../bench/drafters/bench-drafters-options.ts";
import type { SimulateOptions } from "../bench/simulator/simulate-command.ts";
import { DEFAULT_POLICY } from "../decoding/policies/registry.ts";
import packageJson from "../package.json" with { type: "json" };
import { apiOptions } from "./api-options.ts";
import { benchDraftersCommand } from "./bench-drafters-options.ts";
import { benchCommand } from "./bench-options.ts";
import type { ChatCommandOptions } from "./chat/chat-command.ts";
import { CHAT_NUMBERS } from "./chat/chat-settings.ts";
import { GROUP_NAMES } from "./check-groups.ts";
import { type KeysCommands, keysCommand } from "./keys-command.ts";
import { linkModel } from "./link-model.ts";
import { drainCommand, nodeCommand, runCommand, topCommand } from "./mesh-commands.ts";
import type { NodeOptions } from "./node-options.ts";
import {
  choice,
  hostName,
  layerPins,
  memorySize,
  meshName,
  policySpec,
  portNumber,
  wholeNumber,
} from "./option-values.ts";
import { DRAFTERS, NUMERICS } from "./role.ts";
import { simulateCommand } from "./simulate-options.ts";

import type { WatchOptions } from "./top-snapshot.ts";

import { type TrainDrafterOptions, trainDrafterCommand } from "./training/train-drafter-options.ts";

import type { UpOptions } from "./up-options.ts";
import { UsageError } from "./usage-error.ts";

const STAGES_MAX = 64;
const SESSIONS_MAX = 256;
const THREADS_MAX = 256;

/** What the command line can ask for; each command's code is only loaded when it runs. */
export interface Commands {
  up(options: UpOptions): Promise<void>;
  node(options: NodeOptions): Promise<void>;
  drain(host: string, options: WatchOptions): Promise<void>;
  top(options: WatchOptions & { readonly json: boolean }): Promise<void>;
  keys: KeysCommands;
  run(file: string, options: WatchOptions): Promise<void>;
  chat(options: ChatCommandOptions): Promise<void>;
  bench(options: BenchOptions): Promise<void>;
  benchDrafters(options: BenchDraftersOptions): Promise<void>;
  simulate(options: SimulateOptions): Promise<void>;
  trainDrafter(options: TrainDrafterOptions): Promise<void>;
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
  program.addCommand(nodeCommand(commands));
  program.addCommand(drainCommand(commands));
  program.addCommand(topCommand(commands));
  program.addCommand(runCommand(commands));
  program.addCommand(chatCommand(commands));
  program.addCommand(keysCommand(commands.keys));
  program.addCommand(benchCommand((options) => commands.bench(options)));
  program.addCommand(benchDraftersCommand((options) => commands.benchDrafters(options)));
  program.addCommand(simulateCommand((options) => commands.simulate(options)));
  program.addCommand(trainDrafterCommand((options) => commands.trainDrafter(options)));
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
  $ flowmesh node --nats nats://10.0.0.5:4222      let this machine run part of a mesh
  $ flowmesh chat "What is a pipeline?"            ask the running mesh
  $ flowmesh test --only unit                      check this copy of the code

Environment:
  FLOWMESH_HOME         where downloads and compiled models are kept
  FLOWMESH_LOG          debug, info, warn (default) or error
  FLOWMESH_LOG_FORMAT   text (default) or json
  FLOWMESH_API_KEY      key for flowmesh chat`,
  );
  return program;
}

const policyOption = () =>
  new Option("--policy <name>", "how tokens are decoded; name or name:key=number,…").argParser(policySpec);

function upCommand(commands: Commands): Command {
  const command = new Command("up")
    .description("Start a whole mesh on this machine: nats-server, stages, drafter and the HTTP API.")
    .addOption(
      new Option("--stages <n|auto>", "pipeline stages on this machine; auto tries what is fastest on it")
        .argParser((text) => (text === "auto" ? "auto" : wholeNumber(1, STAGES_MAX)(text)))
        .default(4),
    )
    .option("--no-stages", "run no stages here: other machines will, with 'flowmesh node'")
    .option("--model <name|path|url>", "a GGUF model: a known name, a file, or where to fetch it");
  return apiOptions(command)
    .addOption(policyOption().default(DEFAULT_POLICY))
    .addOption(choice("--numerics <kind>", "arithmetic of the stages", NUMERICS).default("fast"))
    .addOption(choice("--drafter <kind>", "what guesses tokens ahead", DRAFTERS).default("auto"))
    .option("--draft-head <file>", "manifest (.json) of a draft head (default: the one that comes along)")
    .addOption(
      new Option("--nats-port <port>", "port of nats-server (default: 4222, or a free one)").argParser(
        portNumber,
      ),
    )
    .option(
      "--nats-host <address>",
      "address that nats-server listens on, for other machines (default: 127.0.0.1)",
    )
    .option(
      "--nats-token <token>",
      "what other machines must give (default: drawn, when others can reach the server)",
    )
    .addOption(new Option("--name <name>", "this machine's name in the mesh").argParser(hostName))
    .addOption(
      new Option("--sessions <n>", "requests at once to place the layers for, if there are not more")
        .argParser(wholeNumber(1, SESSIONS_MAX))
        .default(1),
    )
    .addOption(
      new Option(
        "--pin <layers:label=value>",
        "layers that only such hosts may run, like 0-3:site=attic",
      ).argParser(layerPins),
    )
    .addOption(
      new Option("--threads <n>", "threads of each stage (default: cores / stages)").argParser(
        wholeNumber(1, THREADS_MAX),
      ),
    )
    .addOption(
      new Option(
        "--kv-memory <size>",
        "for keys and values of all sessions, like 2GB (default: a quarter of the machine's)",
      ).argParser(memorySize),
    )
    .addOption(new Option("--mesh <name>", "name in all NATS subjects").argParser(meshName).default("home"))
    .option("--device <name|file>", "make stages as slow as this device, for measurements")
    .addOption(
      new Option(
        "--link <delay[/rate]>",
        "put a link like 1ms/150mbit between stages, for measurements",
      ).argParser(linkModel),
    )
    .option("--report-work", "publish what each stage does when, for measurements (event.work)", false)
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh up --policy autoregressive            plain decoding, for comparison
  $ flowmesh up --host 0.0.0.0                     let other machines use the API; needs a key: flowmesh keys add me
  $ flowmesh up --nats-port 4333 --mesh lab        fixed NATS port, subjects flow.lab.>`,
    )
    .action((options: Omit<UpOptions, "stages"> & { readonly stages: UpOptions["stages"] | false }) => {
      if (options.stages === "auto" && options.threads !== undefined) {
        throw new UsageError(
          "options '--stages auto' and '--threads <n>' exclude each other: auto finds both.",
        );
      }
      return commands.up({ ...options, stages: options.stages === false ? 0 : options.stages });
    });
}

function chatCommand(commands: Commands): Command {
  const command = new Command("chat")
    .description("Talk with a mesh that is up.")
    .addArgument(
      new Argument("[prompt]", "one question; without it, a conversation, or a question a line from a pipe"),
    )
    .option("--url <url>", "where the mesh's API is", "http://127.0.0.1:8080")
    .option("--key <key>", "API key, where the mesh wants one (default: FLOWMESH_API_KEY)")
    .option("--model <name>", "model to ask (default: the one that is served)")
    .option("--system <text>", "what the model is told before the conversation")
    .addOption(policyOption());
  for (const { name, unit, text, parse } of CHAT_NUMBERS) {
    command.addOption(new Option(`--${name} <${unit}>`, text).argParser(parse));
  }
  return command
    .option("--json", "write each answer as a JSON object on a line of its own: docs/chat.md")
    .addHelpText(
      "after",
      `
Examples:
  $ flowmesh chat                                  /help tells what can be typed
  $ flowmesh chat --temperature 0 "Count to ten."
  $ flowmesh chat --json < questions.txt           a question a line`,
    )
    .action((prompt: string | undefined, options: ChatCommandOptions) =>
      commands.chat(prompt === undefined ? options : { ...options, prompt }),
    );
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
