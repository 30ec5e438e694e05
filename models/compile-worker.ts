import { type MessagePort, parentPort } from "node:worker_threads";
import type { CompileCall, CompileRequest } from "./background-compile.ts";
import { compileStages } from "./compile.ts";
import { compileDraftHead } from "./draft/compile-head.ts";
import { openGguf } from "./gguf/gguf-file.ts";

/** Answers the requests of the thread that started this one. */
function serve(port: MessagePort): void {
  port.on("message", async ({ id, call }: CompileRequest) => {
    try {
      port.postMessage({ id, answer: call.kind === "close" ? undefined : await compile(call) });
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      port.postMessage({ id, failure: { name, message } });
    }
  });
}

async function compile(call: Exclude<CompileCall, { kind: "close" }>): Promise<string> {
  const gguf = await openGguf(call.modelPath);
  try {
    if (call.kind === "head") return await compileDraftHead(gguf, call.options);
    const { spec, ...where } = call.options;
    const [stage] = await compileStages(gguf, { ...where, specs: [spec] });
    return stage?.dir ?? "";
  } finally {
    await gguf.close();
  }
}

if (!parentPort) throw new Error("compile-worker.ts is started as a worker by background-compile.ts");
serve(parentPort);
