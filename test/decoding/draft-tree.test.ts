import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DraftTree, type TreeNode } from "../../decoding/draft-tree.ts";
import { nodeId, tokenId } from "../../decoding/ids.ts";
import type { Walk } from "../../decoding/segment.ts";

/** Candidates as a list of (parent choice, token, log-probability of the step). */
const candidateSteps = fc.array(
  fc.record({ parent: fc.nat(20), token: fc.nat(3), step: fc.double({ min: -4, max: 0, noNaN: true }) }),
  { maxLength: 25 },
);

function toCandidates(steps: { parent: number; token: number; step: number }[]) {
  const parents: number[] = [];
  const tokens: number[] = [];
  const scores: number[] = [];
  const taken = new Set<string>();
  for (const { parent, token, step } of steps) {
    const at = tokens.length === 0 ? -1 : (parent % (tokens.length + 1)) - 1;
    if (taken.has(`${at}/${token}`)) continue;
    taken.add(`${at}/${token}`);
    parents.push(at);
    tokens.push(token);
    scores.push((at < 0 ? 0 : scores[at]!) + step);
  }
  return { parents, tokens, scores };
}

/** Token paths below the candidates' base, "a/b/c". */
function pathsOf({ parents, tokens }: ReturnType<typeof toCandidates>): string[] {
  return tokens.map((token, i) => {
    const path = [token];
    for (let at = parents[i]!; at >= 0; at = parents[at]!) path.unshift(tokens[at]!);
    return path.join("/");
  });
}

function treePaths(tree: DraftTree): Map<string, TreeNode> {
  const found = new Map<string, TreeNode>();
  const visit = (node: TreeNode, prefix: string[]) => {
    for (const child of node.children.values()) {
      const path = [...prefix, String(child.token)];
      found.set(path.join("/"), child);
      visit(child, path);
    }
  };
  visit(tree.root, []);
  return found;
}

const newTree = () => new DraftTree({ parent: nodeId(4), token: tokenId(9), position: 5 }, 5);
const walkTo = (nodes: TreeNode[], next: number): Walk => ({
  nodes: nodes.map((node) => node.id),
  tokens: [...nodes.slice(1).map((node) => node.token), tokenId(next)],
  position: nodes[0]!.position + 1,
});

describe("DraftTree", () => {
  test("holds exactly the union of the candidates' token paths, each once", () => {
    fc.assert(
      fc.property(candidateSteps, candidateSteps, (one, two) => {
        const tree = newTree();
        const first = toCandidates(one);
        const second = toCandidates(two);
        const added = [first, second].map((candidates) => tree.graft(tree.root, candidates, false));
        const union = new Set([...pathsOf(first), ...pathsOf(second)]);
        expect(new Set(treePaths(tree).keys())).toEqual(union);
        expect(added[0]! + added[1]!).toBe(union.size);
        expect(tree.size).toBe(union.size + 1);
      }),
    );
  });

  test("waiting nodes come best first, parents before children, and not again once sent", () => {
    fc.assert(
      fc.property(candidateSteps, fc.nat(10), (steps, count) => {
        const tree = newTree();
        tree.graft(tree.root, toCandidates(steps), false);
        const all = tree.waiting();
        all.forEach((node, i) => {
          if (i > 0) expect(node.score).toBeLessThanOrEqual(all[i - 1]!.score);
          const parentAt = all.findIndex((other) => other.id === node.parent);
          expect(parentAt).toBeLessThan(i);
        });
        const segment = tree.take(all.slice(0, count));
        expect([...segment.ids]).toEqual(all.slice(0, count).map((node) => node.id));
        expect(tree.waiting()).toEqual(all.slice(count));
      }),
    );
  });

  test("a walk keeps exactly the new root's subtree and rebases its scores; a miss keeps nothing", () => {
    fc.assert(
      fc.property(candidateSteps, fc.nat(30), fc.nat(4), (steps, choice, next) => {
        const tree = newTree();
        tree.graft(tree.root, toCandidates(steps), false);
        const before = treePaths(tree);
        const [prefix, head] = [["", tree.root] as const, ...before][choice % (before.size + 1)]!;
        const nodes = [tree.root];
        for (const token of prefix === "" ? [] : prefix.split("/")) {
          nodes.push(nodes.at(-1)!.children.get(tokenId(Number(token)))!);
        }
        const root = [...(prefix === "" ? [] : [prefix]), String(next)].join("/");
        const scores = new Map([...before].map(([path, node]) => [path, node.score]));
        const expected = [...before.keys()].filter((path) => path.startsWith(`${root}/`));
        const hit = tree.advance(walkTo(nodes, next));
        expect(hit).toBe(before.has(root));
        expect(tree.root.token).toBe(tokenId(next));
        expect(tree.root.parent).toBe(head.id);
        expect(tree.root.position).toBe(head.position + 1);
        expect(tree.root.score).toBe(0);
        const after = treePaths(tree);
        expect(new Set(after.keys())).toEqual(new Set(expected.map((path) => path.slice(root.length + 1))));
        for (const [path, node] of after) {
          expect(node.score).toBeCloseTo(scores.get(`${root}/${path}`)! - scores.get(root)!, 9);
        }
      }),
    );
  });

  test("candidates that come after the root moved are kept where they lie below the new root", () => {
    fc.assert(
      fc.property(candidateSteps, fc.nat(4), (steps, next) => {
        const late = toCandidates(steps);
        const asked = newTree();
        const base = { id: asked.root.id, position: asked.root.position };
        asked.advance(walkTo([asked.root], next));
        asked.graft(base, late, false);
        const prefix = `${next}/`;
        const expected = pathsOf(late).filter((path) => path.startsWith(prefix));
        expect(new Set(treePaths(asked).keys())).toEqual(
          new Set(expected.map((path) => path.slice(prefix.length))),
        );
      }),
    );
  });

  test("rescoring gives waiting nodes the fresh score, else they keep theirs", () => {
    for (const rescore of [true, false]) {
      const tree = newTree();
      tree.graft(tree.root, { parents: [-1], tokens: [1], scores: [-2] }, rescore);
      tree.graft(tree.root, { parents: [-1], tokens: [1], scores: [-1] }, rescore);
      expect(tree.waiting().at(-1)!.score).toBe(rescore ? -1 : -2);
    }
  });
});
