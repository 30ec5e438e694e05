import { CommanderError } from "commander";
import type { BenchDraftersOptions } from "../../bench/drafters/bench-drafters-options.ts";
import { buildProgram } from "../../cli/program.ts";
import type { UpOptions } from "../../cli/up-options.ts";

interface Parsed {
  readonly up: UpOptions[];
  readonly chat: unknown[];
  readonly bench: unknown[];
  readonly benchDrafters: BenchDraftersOptions[];
  readonly trainDrafter: unknown[];
  readonly simulate: unknown[];
  readonly test: unknown[];
  readonly node: unknown[];
  readonly drain: unknown[];
  readonly top: unknown[];
  readonly run: unknown[];
  readonly keys: unknown[];
  readonly errors: string;
}

/** Parses a command line without starting anything. */
export async function parse(...args: string[]): Promise<Parsed> {
  const parsed = {
    up: [] as UpOptions[],
    chat: [] as unknown[],
    bench: [] as unknown[],
    benchDrafters: [] as BenchDraftersOptions[],
    trainDrafter: [] as unknown[],
    simulate: [] as unknown[],
    test: [] as unknown[],
    node: [] as unknown[],
    drain: [] as unknown[],
    top: [] as unknown[],
    run: [] as unknown[],
    keys: [] as unknown[],
    errors: "",
  };
  const program = buildProgram({
    up: async (options) => void parsed.up.push(options),
    chat: async (options) => void parsed.chat.push(options),
    bench: async (options) => void parsed.bench.push(options),
    benchDrafters: async (options) => void parsed.benchDrafters.push(options),
    trainDrafter: async (options) => void parsed.trainDrafter.push(options),
    simulate: async (options) => void parsed.simulate.push(options),
    test: async (options) => void parsed.test.push(options),
    actor: async () => {},
    node: async (options) => void parsed.node.push(options),
    drain: async (host, options) => void parsed.drain.push({ host, ...options }),
    top: async (options) => void parsed.top.push(options),
    keys: {
      addKey: async (name, options) => void parsed.keys.push({ add: name, ...options }),
      listKeys: async (options) => void parsed.keys.push({ list: true, ...options }),
      removeKey: async (name, options) => void parsed.keys.push({ remove: name, ...options }),
    },
    run: async (file, options) => void parsed.run.push({ file, ...options }),
  });
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureOutput({ writeErr: (text) => (parsed.errors += text), writeOut: () => {} });
  }
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
  }
  return parsed;
}
