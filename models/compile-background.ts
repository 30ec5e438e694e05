import type { CompileAnswers, CompileCall, CompileFailure } from "./compile-protocol.ts";
import { ModelFileError } from "./errors.ts";
import { WorkerCalls } from "./worker-calls.ts";

/**
 * Compiles a stage or a draft head in a thread of its own, and gives its folder. Packing one large tensor takes
 * seconds, and a host that can't answer for that long loses its lease.
 * @throws {ModelFileError} as compileStages and compileDraftHead do.
 * @throws the signal's reason when it is aborted; what was built so far is left aside, and not used.
 */
export async function compileInBackground(call: CompileCall, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const worker = new WorkerCalls<CompileCall, CompileAnswers, CompileFailure>({
    script: new URL("./compile-worker.ts", import.meta.url),
    what: "the compiler",
    revive: ({ modelFile: file }) => file && new ModelFileError(file.path, file.problem, file.remedy),
  });
  const end = () => void worker.terminate();
  signal.addEventListener("abort", end);
  try {
    return await worker.ask(call);
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", end);
    await worker.terminate();
  }
}
