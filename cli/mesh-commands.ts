import { Argument, Command, Option } from "commander";
import { linkModel } from "./link-model.ts";
import type { NodeOptions } from "./node-options.ts";
import { hostLabels, hostName, memorySize, meshName, wholeNumber } from "./option-values.ts";
import type { WatchOptions } from "./top-snapshot.ts";

const THREADS_MAX = 256;
const NATS_URL = "nats://127.0.0.1:4222";

const accessOptions = (command: Command): Command =>
  command
    .option("--nats <url>", "address of the mesh's nats-server", NATS_URL)
    .option("--token <token>", "token that the server wants")
    .option("--creds <file>", "NATS credentials file, where the server wants one")
    .addOption(new Option("--mesh <name>", "name of the mesh").argParser(meshName).default("home"));

export function nodeCommand(commands: { node(options: NodeOptions): Promise<void> }): Command {
  const command = new Command("node").description(
    "Let this machine run part of a mesh. It connects outwards only, and fetches the layers that it is given.",
  );
  return accessOptions(command)
    .addOption(
      new Option("--name <name>", "this machine's name in the mesh (default: its own)").argParser(hostName),
    )
    .addOption(
      new Option("--memory <size>", "what may be used, like 2GB (default: half)").argParser(memorySize),
    )
    .addOption(
      new Option("--labels <name=value,…>", "what layers may be pinned to, like site=attic")
        .argParser(hostLabels)
        .default({}),
    )
    .addOption(
      new Option("--threads <n>", "threads of its stage (default: all cores)").argParser(
        wholeNumber(1, THREADS_MAX),
      ),
    )
    .option("--device <name|file>", "act as slow as this device, for measurements")
    .addOption(
      new Option(
        "--link <delay[/rate]>",
        "put a link like 1ms/150mbit before its stage, for measurements",
      ).argParser(linkModel),
    )
    .option("--report-work", "publish what its stage does when, for measurements (event.work)", false)
    .addHelpText(
      "after",
      "\nExamples:\n  $ flowmesh node --nats nats://10.0.0.5:4222 --token 1f2e…\n  $ flowmesh node --nats nats://10.0.0.5:4222 --memory 2GB --labels gpu=no,site=attic",
    )
    .action((options: NodeOptions) => commands.node(options));
}

export function runCommand(commands: { run(file: string, options: WatchOptions): Promise<void> }): Command {
  return accessOptions(
    new Command("run").description(
      "Run an actor or a drafter of your own as part of a mesh: see docs/custom-actors.md.",
    ),
  )
    .addArgument(new Argument("<file>", "TypeScript or JavaScript; its default export is what is run"))
    .addHelpText("after", "\nExample:\n  $ flowmesh run examples/phrase-book-drafter.ts")
    .action((file: string, options: WatchOptions) => commands.run(file, options));
}

export function drainCommand(commands: {
  drain(host: string, options: WatchOptions): Promise<void>;
}): Command {
  return accessOptions(
    new Command("drain").description("Have others take over what a host runs, and let it leave."),
  )
    .addArgument(new Argument("<host>", "its name, as `flowmesh top` shows it"))
    .action((host: string, options: WatchOptions) => commands.drain(host, options));
}

export function topCommand(commands: {
  top(options: WatchOptions & { readonly json: boolean }): Promise<void>;
}): Command {
  return accessOptions(new Command("top").description("Show the hosts of a mesh and what runs where."))
    .option("--json", "one snapshot, for scripts", false)
    .action((options: WatchOptions & { readonly json: boolean }) => commands.top(options));
}
