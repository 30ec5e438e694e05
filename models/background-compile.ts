import type { CompileHeadOptions } from "./draft/compile-head.ts";
import type { StageSpec } from "./stage-spec.ts";
import { WorkerCalls, type WorkerFailure } from "./worker-calls.ts";

/** What is asked of the worker; each request gets one response with its id: a folder. */
export type CompileCall =
  | {
      readonly kind: "stage";
      readonly modelPath: string;
      readonly options: {
        readonly spec: StageSpec;
        readonly cacheDir: string;
        readonly sourceHash: string;
      };
    }
  | { readonly kind: "head"; readonly modelPath: string; readonly options: CompileHeadOptions }
  | { readonly kind: "close" };

export interface CompileRequest {
  readonly id: number;
  readonly call: CompileCall;
}

type CompileAnswers = { stage: string; head: string; close: undefined };

/**
 * The folder of a compiled stage (`compileStages`) or draft head (`compileDraftHead`), made by a worker: this
 * thread may have a lease to renew, and compiling takes seconds. Rejects with an error of the same name and
 * message as theirs.
 */
export async function compileInBackground(call: Exclude<CompileCall, { kind: "close" }>): Promise<string> {
  const script = new URL("./compile-worker.ts", import.meta.url);
  const what = call.kind === "head" ? "compiling the draft head" : "compiling a stage";
  const worker = new WorkerCalls<CompileCall, CompileAnswers, WorkerFailure>({
    script,
    what,
    revive: () => undefined,
  });
  try {
    return await worker.ask(call);
  } finally {
    await worker.terminate();
  }
}
