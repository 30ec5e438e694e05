import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { NO_NODE, nodeId, tokenId } from "../../decoding/ids.ts";
import type { SegmentNodes } from "../../decoding/segment.ts";
import { Verification } from "../../decoding/walk.ts";

interface DraftNode {
  id: number;
  parent: number;
  token: number;
  position: number;
}

const ROOT: DraftNode = { id: 0, parent: NO_NODE, token: 0, position: 10 };

/** A random tree below the prompt's last token, in order of creation (parents first). */
const trees = fc
  .array(fc.record({ parent: fc.nat(30), token: fc.nat(2) }), { maxLength: 40 })
  .map((choices) => {
    const nodes = [ROOT];
    for (const { parent, token } of choices) {
      const below = nodes[parent % nodes.length]!;
      if (nodes.some((node) => node.parent === below.id && node.token === token)) continue;
      nodes.push({ id: nodes.length, parent: below.id, token, position: below.position + 1 });
    }
    return nodes;
  });

function segmentOf(nodes: DraftNode[]): SegmentNodes {
  return {
    ids: Uint32Array.from(nodes, (node) => node.id),
    parents: Uint32Array.from(nodes, (node) => node.parent),
    tokens: Uint32Array.from(nodes, (node) => node.token),
    positions: Uint32Array.from(nodes, (node) => node.position),
  };
}

async function verify(nodes: DraftNode[], cut: number, target: number[], lastPosition = 1000) {
  const verification = new Verification({ stopTokens: [9], lastPosition });
  const asked: number[] = [];
  const walks = [];
  const ask = async (_: number, position: number) => {
    asked.push(position);
    return tokenId(target[(position - 11) % target.length]!);
  };
  walks.push(await verification.begin(segmentOf([ROOT]), 0, ask));
  for (let at = 1; at < nodes.length; at += cut) {
    const walk = await verification.advance(segmentOf(nodes.slice(at, at + cut)), ask);
    if (walk !== undefined) walks.push(walk);
  }
  return { walks, asked, verification };
}

describe("Verification", () => {
  const targets = fc.array(fc.nat(2), { minLength: 1, maxLength: 8 });

  test("accepts the target's path as far as the tree has it, however the tree is cut", async () => {
    await fc.assert(
      fc.asyncProperty(trees, targets, fc.integer({ min: 1, max: 10 }), async (nodes, target, cut) => {
        const { walks, asked } = await verify(nodes, cut, target);
        const expected = [ROOT];
        for (let at = ROOT; ; ) {
          const token = target[(at.position - 10) % target.length];
          const child = nodes.find((node) => node.parent === at.id && node.token === token);
          if (child === undefined) break;
          expected.push(child);
          at = child;
        }
        expect(walks.flatMap((walk) => walk.nodes)).toEqual(expected.map((node) => nodeId(node.id)));
        expect(asked).toEqual(expected.map((node) => node.position + 1));
        const tokens = walks.flatMap((walk) => walk.tokens);
        expect(tokens.map(Number)).toEqual(
          expected.map((node) => target[(node.position - 10) % target.length]!),
        );
        let position = 11;
        for (const walk of walks) {
          expect(walk.position).toBe(position);
          expect(walk.tokens.length).toBe(walk.nodes.length);
          position += walk.tokens.length;
        }
      }),
    );
  });

  test("stops at a stop token and asks for nothing after it", async () => {
    const chain = [ROOT, ...[1, 9, 1].map((token, i) => ({ id: i + 1, parent: i, token, position: 11 + i }))];
    const { walks, verification } = await verify(chain, 4, [1, 9, 1]);
    expect(walks.flatMap((walk) => walk.tokens).map(Number)).toEqual([1, 9]);
    expect(verification.ended).toBe(true);
  });

  test("stops at the last position", async () => {
    const chain = [ROOT, ...[1, 1, 1].map((token, i) => ({ id: i + 1, parent: i, token, position: 11 + i }))];
    const { walks } = await verify(chain, 4, [1], 12);
    expect(walks.flatMap((walk) => walk.tokens).map(Number)).toEqual([1, 1]);
  });
});
