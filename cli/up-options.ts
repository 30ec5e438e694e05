import type { Numerics } from "../models/stage-spec.ts";
import type { DrafterName, PolicyName, PresetName } from "./role.ts";

/** `flowmesh up`, as asked for on the command line; every value has passed its option's check. */
export interface UpOptions {
  readonly stages: number;
  /** Name, path or URL; absent means the default model. */
  readonly model?: string;
  readonly port: number;
  readonly host: string;
  readonly policy: PolicyName;
  readonly preset: PresetName;
  readonly numerics: Numerics;
  readonly drafter: DrafterName;
  /** Absent: 4222 when nobody listens there, else any free one. */
  readonly natsPort?: number;
  /** For each stage; absent: the machine's cores divided by the stages. */
  readonly threads?: number;
  readonly mesh: string;
  /** Device model that the stages act like, for measurements. */
  readonly device?: string;
}
