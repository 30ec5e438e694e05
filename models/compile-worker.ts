import { compileStages } from "./compile.ts";
import type { CompileCall, CompileFailure } from "./compile-protocol.ts";
import { compileDraftHead } from "./draft/compile-head.ts";
import { ModelFileError } from "./errors.ts";
import { openGguf } from "./gguf/gguf-file.ts";
import { serveCalls } from "./serve-calls.ts";

serveCalls<CompileCall, string, CompileFailure>({
  async perform(call) {
    const gguf = await openGguf(call.modelPath);
    try {
      if (call.kind === "head") return await compileDraftHead(gguf, call.options);
      const { spec, cacheDir, sourceHash } = call;
      const [stage] = await compileStages(gguf, { specs: [spec], cacheDir, sourceHash });
      return stage?.dir ?? "";
    } finally {
      await gguf.close();
    }
  },
  detailOf(error) {
    if (!(error instanceof ModelFileError)) return undefined;
    const { path, problem, remedy } = error;
    return { modelFile: { path, problem, remedy } };
  },
});
