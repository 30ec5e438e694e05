import type { DraftCandidates } from "../draft-engine.ts";
import { CandidatePool } from "./candidate-pool.ts";

/** One possible next token with its natural-log probability, at most 0. */
export interface Child {
  readonly token: number;
  readonly logProb: number;
}

/** The bounds of one expansion, as in a `DraftRequest`. */
export interface ExpansionLimits {
  readonly topK: number;
  readonly depth: number;
  readonly total: number;
}

/** Children of each frontier candidate, in the frontier's order; undefined ends the expansion. */
export type Deepen = (
  frontier: readonly number[],
  pool: CandidatePool,
) => Promise<readonly (readonly Child[])[] | undefined>;

export const NO_CANDIDATES: DraftCandidates = new CandidatePool().select(0);

/**
 * Grows a draft tree as EAGLE-2 does: each level's `topK` best candidates are deepened, all children
 * go to a pool, and the best `total` of the pool are the result. Candidates that can have no child in
 * the result are not deepened, which changes nothing but saves work.
 */
export async function expandTree(
  limits: ExpansionLimits,
  rootChildren: readonly Child[],
  deepen: Deepen,
): Promise<DraftCandidates> {
  const pool = new CandidatePool();
  for (const { token, logProb } of rootChildren) pool.add(-1, token, logProb);
  let levelStart = 0;
  for (let pass = 0; pass < limits.depth; pass++) {
    const frontier = worthDeepening(pool, pool.best(limits.topK, levelStart), limits.total);
    if (frontier.length === 0) break;
    const families = await deepen(frontier, pool);
    if (families === undefined) break;
    levelStart = pool.size;
    for (const [i, parent] of frontier.entries()) {
      for (const { token, logProb } of families[i]!) pool.add(parent, token, pool.score(parent) + logProb);
    }
  }
  return pool.select(limits.total);
}

/** A child scores no more than its parent and loses ties to everything in the pool already. */
function worthDeepening(pool: CandidatePool, frontier: readonly number[], total: number): readonly number[] {
  if (pool.size < total) return frontier;
  const last = pool.best(total).at(-1);
  return last === undefined ? [] : frontier.filter((index) => pool.score(index) > pool.score(last));
}
