import type { BenchOptions } from "./bench-options.ts";
import type { ActorProcess } from "./mesh-inventory.ts";
import type { TimeLine } from "./plots/time-line.ts";
import type { Prediction } from "./prediction.ts";
import type { Profile } from "./profile.ts";
import type { Provenance } from "./provenance.ts";
import type { SessionRun } from "./session-run.ts";

/** The policy that all others must agree with, token by token. */
export const REFERENCE = "autoregressive";

/** One of the policies that take turns. */
export interface Contender {
  /** What it is called in tables and plots. */
  readonly label: string;
  /** What a request asks for. */
  readonly spec: string;
}

/** One answer to one turn of a prompt. */
export interface MeasuredRun extends SessionRun {
  /** The contender's label. */
  readonly policy: string;
  readonly prompt: string;
  readonly kind: string;
  /** From 1. */
  readonly turn: number;
  readonly temperature: number;
  /** From 1. */
  readonly repeat: number;
}

/** The contenders on one kind of device and link. */
export interface Scenario {
  /** "real", or the device model that the stages acted like. */
  readonly device: string;
  readonly link: string;
  readonly contenders: readonly Contender[];
  readonly runs: readonly MeasuredRun[];
  /** One answer of each contender for each temperature. */
  readonly timeLines: readonly (TimeLine & { readonly temperature: number; readonly prompt: string })[];
  /** Of each contender, over all its answers; empty unless asked for. */
  readonly profiles: readonly {
    readonly policy: string;
    readonly temperature: number;
    readonly profile: Profile;
  }[];
  /** Of each contender, for the first turns; empty unless asked for. */
  readonly predictions: readonly Prediction[];
  readonly actors: readonly ActorProcess[];
}

export interface BenchResult extends Provenance {
  readonly options: BenchOptions;
  readonly model: string;
  /** What the second column of ratios is to, if there is one. */
  readonly baseline: string | undefined;
  readonly scenarios: readonly Scenario[];
  readonly warnings: readonly string[];
}

/** "jetson-like, links 1ms/150mbit" */
export function scenarioName({ device, link }: Pick<Scenario, "device" | "link">): string {
  const pace = device === "real" ? "as fast as this machine is" : `stages like ${device}`;
  return link === "none" ? pace : `${pace}, links ${link}`;
}

/** The policies that ratios are to: plain decoding, and the baseline; as it is where tuning found nothing better. */
export function comparedWith({ contenders }: Scenario, baseline: string | undefined): string[] {
  const plays = (label: string) => contenders.some((contender) => contender.label === label);
  const second = baseline === undefined || plays(baseline) ? baseline : baseline.replace(/\*$/, "");
  return second === undefined || second === REFERENCE ? [REFERENCE] : [REFERENCE, second];
}
