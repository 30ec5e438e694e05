import type { Numerics } from "../../models/stage-spec.ts";
import type { NamedLink } from "../../transport/link-model.ts";
import type { DrafterSource } from "./drafter-source.ts";

/** `flowmesh bench-drafters`, as asked for on the command line; every value has passed its option's check. */
export interface BenchDraftersOptions {
  /** The first is what the others are compared with. */
  readonly drafters: readonly DrafterSource[];
  /** Name, path or URL; absent: the default model. */
  readonly model?: string;
  readonly prompts: number;
  /** Prompts; absent: those that come along. */
  readonly file?: string;
  /** Longest answer. */
  readonly tokens: number;
  readonly temperatures: readonly number[];
  readonly seed: number;
  /** Guesses are ranked without the noise that the target will add. */
  readonly independent: boolean;
  readonly numerics: Numerics;
  /** Of each drafter; the target takes all cores. */
  readonly threads: number;
  /** Played by the simulator with what each drafter guessed. */
  readonly policies: readonly string[];
  readonly stages: number;
  /** Device models by name or file. */
  readonly devices: readonly string[];
  readonly link: NamedLink;
  /** Folder for report, figures and traces. */
  readonly out?: string;
}
