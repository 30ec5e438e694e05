import { describe, expect, test } from "bun:test";
import { TapStore } from "../../actors/tap-store.ts";
import { nodeId } from "../../decoding/ids.ts";

/** node: id, parent, position; its row for layer L is [L, id]. */
const TREE = [
  [10, 9, 5],
  [11, 10, 6],
  [12, 10, 6],
  [13, 12, 7],
  [14, 13, 8],
] as const;
const LAYERS = [2, 4];

function filled(): TapStore {
  const store = new TapStore();
  const column = (index: number) => Uint32Array.from(TREE, (node) => node[index]!);
  const nodes = { ids: column(0), parents: column(1), tokens: column(0), positions: column(2) };
  const rows = (layer: number) => Float32Array.from(TREE.flatMap(([id]) => [layer, id]));
  store.keep(
    nodes,
    LAYERS.map((layer) => ({ layer, positions: nodes.positions, rows: rows(layer) })),
  );
  return store;
}

const plain = (taps: ReturnType<TapStore["take"]>) =>
  taps.map(({ layer, positions, rows }) => ({ layer, positions: [...positions], rows: [...rows] }));

describe("TapStore", () => {
  test("gives the accepted path's rows in order, once", () => {
    const store = filled();
    expect(plain(store.take([10, 12].map(nodeId), LAYERS))).toEqual([
      { layer: 2, positions: [5, 6], rows: [2, 10, 2, 12] },
      { layer: 4, positions: [5, 6], rows: [4, 10, 4, 12] },
    ]);
    expect(store.take([10, 12].map(nodeId), LAYERS)).toEqual([]);
  });

  test("takes in ancestors whose own commit was missed", () => {
    expect(plain(filled().take([nodeId(13)], [2]))[0]?.positions).toEqual([5, 6, 7]);
  });

  test("forgets everything down to the accepted position, dead branches too", () => {
    const store = filled();
    store.take([10, 12].map(nodeId), LAYERS);
    expect(store.size).toBe(2);
    store.take([13, 14].map(nodeId), LAYERS);
    expect(store.size).toBe(0);
  });

  test("an unknown node gives nothing and changes nothing", () => {
    const store = filled();
    expect(store.take([nodeId(99)], LAYERS)).toEqual([]);
    expect(store.size).toBe(TREE.length);
  });
});
