import type { CompileHeadOptions } from "./draft/compile-head.ts";
import type { StageSpec } from "./stage-spec.ts";
import type { WorkerFailure } from "./worker-calls.ts";

interface Place {
  /** Of the model file, or of the part of it that is here. */
  readonly modelPath: string;
}

/** What a compiling worker is asked for; both are answered with the folder. */
export type CompileCall =
  | (Place & {
      readonly kind: "stage";
      readonly spec: StageSpec;
      readonly cacheDir: string;
      readonly sourceHash: string;
    })
  | (Place & { readonly kind: "head"; readonly options: CompileHeadOptions });

export type CompileAnswers = { stage: string; head: string };

export interface CompileFailure extends WorkerFailure {
  /** Of a ModelFileError. */
  readonly modelFile?: { readonly path: string; readonly problem: string; readonly remedy: string };
}
