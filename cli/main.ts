import { CommanderError } from "commander";
import { describeError } from "../actors/host/expected-error.ts";
import { buildProgram } from "./program.ts";
import { UsageError } from "./usage-error.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const program = buildProgram({
  up: async (options) => {
    const [{ up }, { readSettings }] = await Promise.all([import("./up.ts"), import("./settings.ts")]);
    const childCommand = [process.execPath, import.meta.path, "actor"];
    process.exit(await up(options, { settings: readSettings(), output: process.stderr, childCommand }));
  },
  node: async (options) => {
    const [{ node }, { readSettings }] = await Promise.all([import("./node.ts"), import("./settings.ts")]);
    const childCommand = [process.execPath, import.meta.path, "actor"];
    process.exit(await node(options, { settings: readSettings(), output: process.stderr, childCommand }));
  },
  drain: async (host, options) => {
    const { drain } = await import("./top.ts");
    await drain(host, options);
    process.exit(0);
  },
  top: async (options) => {
    const { top } = await import("./top.ts");
    await top(options);
    process.exit(0);
  },
  run: async (file, options) => {
    const [{ run }, { readSettings }] = await Promise.all([import("./run.ts"), import("./settings.ts")]);
    process.exit(await run(file, options, { settings: readSettings(), output: process.stderr }));
  },
  keys: {
    addKey: async (name, options) => (await import("./keys.ts")).keysCommands.addKey(name, options),
    listKeys: async (options) => (await import("./keys.ts")).keysCommands.listKeys(options),
    removeKey: async (name, options) => (await import("./keys.ts")).keysCommands.removeKey(name, options),
  },
  chat: async (options) => {
    const [{ chat }, { readSettings }] = await Promise.all([
      import("./chat/chat-command.ts"),
      import("./settings.ts"),
    ]);
    const { apiKey } = readSettings();
    process.exit(await chat({ ...(apiKey && { key: apiKey }), ...options }));
  },
  bench: async (options) => {
    if (options.hops) {
      const { benchHops } = await import("../bench/mesh-cost/command.ts");
      await benchHops();
      process.exit(0);
    }
    const { bench } = await import("../bench/bench.ts");
    process.exit(await bench(options));
  },
  benchDrafters: async (options) => {
    const { benchDrafters } = await import("../bench/drafters/bench-drafters.ts");
    process.exit(await benchDrafters(options));
  },
  simulate: async (options) => {
    const { runSimulations } = await import("../bench/simulator/simulate-command.ts");
    await runSimulations(options);
    process.exit(0);
  },
  trainDrafter: async (options) => {
    const [{ trainDrafter }, { readSettings }] = await Promise.all([
      import("./training/train-drafter.ts"),
      import("./settings.ts"),
    ]);
    process.exit(await trainDrafter(options, { settings: readSettings(), output: process.stderr }));
  },
  test: async (options) => {
    const { check } = await import("./check.ts");
    process.exit(await check(options));
  },
  actor: async () => {
    const { runActorProcess } = await import("./actor.ts");
    await runActorProcess();
  },
});

/** Commander itself has written what was wrong. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  process.stderr.write(`flowmesh: ${describeError(error)}\n`);
  return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
}

for (const command of [program, ...program.commands]) command.exitOverride();
try {
  await program.parseAsync();
} catch (error) {
  process.exit(exitCodeOf(error));
}
