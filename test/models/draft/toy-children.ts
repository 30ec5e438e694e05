import type { Child } from "../../../models/draft/tree-growth.ts";
import { seededRandom } from "../gguf/random-tensor.ts";

/** Children a node of the toy model below. */
export const TOY_FAMILY = 6;

/**
 * A toy model: a few tokens after any path, best first. `steps` is the number of different probabilities:
 * few make equal scores common, 0 makes them as good as impossible.
 */
export function toyChildren(seed: number, path: readonly number[], steps: number): Child[] {
  const random = seededRandom(path.reduce((hash, token) => Math.imul(hash ^ token, 0x01000193), seed));
  const children = Array.from({ length: TOY_FAMILY }, (_, token) => {
    const draw = random();
    return { token, logProb: 0 - (steps === 0 ? 2 * draw : Math.floor(draw * steps) / 2) };
  });
  return children.sort((a, b) => b.logProb - a.logProb || a.token - b.token);
}
