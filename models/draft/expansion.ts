import type { DraftCandidates } from "../draft-engine.ts";
import type { CandidatePool } from "./candidate-pool.ts";
import { type Child, type ExpansionLimits, TreeGrowth } from "./tree-growth.ts";

/** Children of each frontier candidate, in the frontier's order; undefined ends the expansion. */
export type Deepen = (
  frontier: readonly number[],
  pool: CandidatePool,
) => Promise<readonly (readonly Child[])[] | undefined>;

/** Hears what an expansion has found so far and not told before, with all ancestors. */
export type Tell = (found: DraftCandidates) => void;

export const NO_CANDIDATES: DraftCandidates = {
  parents: new Int32Array(0),
  tokens: new Uint32Array(0),
  scores: new Float32Array(0),
};

/**
 * Grows a draft tree below a node with these children. Growth `best` tells what it has before each pass;
 * the result is what was not told: all of it when there is no `tell`.
 */
export async function expandTree(
  limits: ExpansionLimits,
  rootChildren: readonly Child[],
  deepen: Deepen,
  tell?: Tell,
): Promise<DraftCandidates> {
  const growth = new TreeGrowth(limits, rootChildren);
  while (growth.frontier.length > 0) {
    if (tell !== undefined && limits.growth === "best") {
      const found = growth.selectNew();
      if (found.tokens.length > 0) tell(found);
    }
    const families = await deepen(growth.frontier, growth.pool);
    if (families === undefined) break;
    growth.grow(families);
  }
  return growth.selectNew();
}
