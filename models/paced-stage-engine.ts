import type { StageEngine, StageResult, StageRun } from "./stage-engine.ts";

/**
 * Makes a stage as slow as another device: what it computes is real, but a segment of n nodes is held back
 * until the device's time for n nodes has passed. For measurements on a machine with fewer cores than
 * stages: as long as the real work fits well inside the pace, stages do not disturb each other.
 */
export function paceEngine(engine: StageEngine, pace: (nodes: number) => number): StageEngine {
  return {
    async run(run: StageRun): Promise<StageResult> {
      const begun = performance.now();
      const result = await engine.run(run);
      const nodes = result.nodes.ids.length;
      const restMs = nodes === 0 ? 0 : pace(nodes) - (performance.now() - begun);
      if (restMs > 0) await Bun.sleep(restMs);
      return result;
    },
    commit: (session, accepted, next) => engine.commit(session, accepted, next),
    nextToken: (row, sampling, position) => engine.nextToken(row, sampling, position),
    release: (session) => engine.release(session),
    usage: () => engine.usage(),
    close: () => engine.close(),
  };
}
