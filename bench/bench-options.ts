import type { NamedLink } from "../transport/link-model.ts";

/** `flowmesh bench`, as asked for on the command line; every value has passed its option's check. */
export interface BenchOptions {
  /** Only measures what passing segments on costs; all else is then of no account. */
  readonly hops?: boolean;
  readonly stages: number;
  /** Device models by name or file, or `real`: as fast as this machine is. */
  readonly devices: readonly string[];
  readonly links: readonly NamedLink[];
  /** Policies as requests name them; `autoregressive` takes part in any case. */
  readonly policies: readonly string[];
  /** Adds the policies that have a grid once more, with the parameters that suit the device and link best. */
  readonly tune: boolean;
  /** What ratios are to besides `autoregressive`: one of the policies. */
  readonly baseline?: string;
  readonly prompts: number;
  /** Prompts; absent: those that come along. */
  readonly file?: string;
  readonly tokens: number;
  readonly repeats: number;
  readonly temperatures: readonly number[];
  readonly seed: number;
  readonly numerics: string;
  readonly drafter: string;
  /** Manifest of a draft head; absent: the one that comes along. */
  readonly draftHead?: string;
  /** Also tell where each millisecond of a token goes. */
  readonly profile: boolean;
  /** Also tell what the simulator says of the same prompts, stages and links. */
  readonly predict: boolean;
  /** File for an acceptance trace of the prompts. */
  readonly record?: string;
  /** Folder for the results. */
  readonly out?: string;
}
