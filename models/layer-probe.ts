import { join } from "node:path";
import { compileStages } from "./compile.ts";
import { measureCosts } from "./cost-table.ts";
import { openGguf } from "./gguf/gguf-file.ts";
import { readLlamaConfig } from "./gguf/llama-config.ts";
import type { CostTable } from "./stage-engine.ts";
import type { Numerics } from "./stage-spec.ts";
import { startStageEngine } from "./worker-stage-engine.ts";

export interface ProbeOptions {
  readonly cacheDir: string;
  readonly sourceHash: string;
  readonly numerics: Numerics;
  readonly threads: number;
}

const PROBE_SIZES = [1, 4, 16, 64];
const KV_BYTES = 64 * 2 ** 20;

/**
 * Milliseconds of one layer of the model on this machine, by segment size. Only the file's header need be
 * there: where the weights are missing the file reads as zeros, which take as long to multiply by.
 */
export async function probeLayer(path: string, options: ProbeOptions): Promise<CostTable> {
  const { cacheDir, sourceHash, numerics, threads } = options;
  const gguf = await openGguf(path);
  try {
    const { layers, hidden } = readLlamaConfig(gguf);
    const layer = Math.min(1, layers - 1);
    // Neither the first nor the last stage, so that it is a layer alone.
    const spec = { firstLayer: layer, endLayer: layer + 1, layerCount: layers, index: 1, stageCount: 3 };
    const [stage] = await compileStages(gguf, {
      specs: [{ ...spec, taps: [], numerics }],
      cacheDir: join(cacheDir, "probes"),
      sourceHash: `probe of ${sourceHash}`,
    });
    const engine = await startStageEngine({ dir: stage?.dir ?? "", threads, kvBudgetBytes: KV_BYTES });
    try {
      return await measureCosts(engine, { sizes: PROBE_SIZES, hidden });
    } finally {
      await engine.close();
    }
  } finally {
    await gguf.close();
  }
}
