import { type MessagePort, parentPort } from "node:worker_threads";
import { compileStages } from "./compile.ts";
import type { CompileCall, CompileFailure, CompileRequest, CompileResponse } from "./compile-protocol.ts";
import { compileDraftHead } from "./draft/compile-head.ts";
import { ModelFileError } from "./errors.ts";
import { openGguf } from "./gguf/gguf-file.ts";

function serve(port: MessagePort): void {
  port.on("message", async ({ id, call }: CompileRequest) => {
    const respond = (response: CompileResponse) => port.postMessage(response);
    try {
      respond({ id, answer: await perform(call) });
    } catch (error) {
      respond({ id, failure: failureOf(error) });
    }
  });
}

function failureOf(error: unknown): CompileFailure {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  if (!(error instanceof ModelFileError)) return { name, message };
  const { path, problem, remedy } = error;
  return { name, message, modelFile: { path, problem, remedy } };
}

async function perform(call: CompileCall): Promise<string> {
  const gguf = await openGguf(call.modelPath);
  try {
    if (call.kind === "head") return await compileDraftHead(gguf, call.options);
    const { spec, cacheDir, sourceHash } = call;
    const [stage] = await compileStages(gguf, { specs: [spec], cacheDir, sourceHash });
    return stage?.dir ?? "";
  } finally {
    await gguf.close();
  }
}

if (!parentPort) throw new Error("compile-worker.ts is started as a worker by compileInBackground");
serve(parentPort);
