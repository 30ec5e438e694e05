import { describe, expect, test } from "bun:test";
import { featureBytes, segmentBytes } from "../../../bench/simulator/message-sizes.ts";
import { Network } from "../../../bench/simulator/network.ts";
import { nodeId } from "../../../decoding/ids.ts";
import { encodeFeatures, encodeSegment } from "../../../transport/frame.ts";

describe("Network", () => {
  test("a device sends one message after the other, at the link's rate", () => {
    const network = new Network(2, { delayMs: 3, mbps: 8 });
    // 8 Mbit/s are 1,000 bytes a millisecond.
    expect(network.send(0, 2000, 10)).toBe(15);
    expect(network.send(0, 1000, 11)).toBe(16);
    expect(network.send(1, 1000, 11)).toBe(15);
    expect(network.send(0, 1000, 50)).toBe(54);
    expect(network.bytes).toBe(5000);
  });

  test("without a bound on the rate only the delay counts", () => {
    const network = new Network(1, { delayMs: 3 });
    expect([network.send(0, 1e9, 1), network.send(0, 1e9, 1)]).toEqual([4, 4]);
  });
});

describe("message sizes are those of the real frames", () => {
  const count = (nodes: number) => Uint32Array.from({ length: nodes }, (_, i) => i);

  test.each([0, 1, 7])("segment of %d nodes", (nodes) => {
    for (const width of [0, 24]) {
      const frame = {
        kind: "segment",
        epoch: 1,
        generation: 0,
        sequence: 1,
        committed: false,
        certain: nodeId(9),
        nodes: { ids: count(nodes), parents: count(nodes), tokens: count(nodes), positions: count(nodes) },
        width: nodes === 0 ? 0 : width,
        ...(width > 0 && nodes > 0 ? { rows: new Float32Array(nodes * width) } : {}),
      } as const;
      expect(segmentBytes(nodes, width)).toBe(encodeSegment(frame, "f32").body.length);
    }
  });

  test("features", () => {
    const rows = new Float32Array(3 * 24);
    const frame = {
      kind: "features",
      epoch: 1,
      generation: 0,
      layer: 2,
      positions: count(3),
      rows,
      width: 24,
    } as const;
    expect(featureBytes(3, 24)).toBe(encodeFeatures(frame, "f32").body.length);
  });
});
