import { describe, expect, test } from "bun:test";
import { crc32 } from "node:zlib";
import * as fc from "fast-check";
import { FrameError } from "../../transport/errors.ts";
import {
  decodeFeatures,
  decodeSegment,
  encodeFeatures,
  encodeSegment,
  type FeatureFrame,
  NODES_MAX,
  type RowType,
  type SegmentFrame,
  SPEC_BYTES_MAX,
  WIDTH_MAX,
} from "../../transport/frame.ts";

const u32 = fc.nat({ max: 0xffff_ffff });
const dtype = fc.constantFrom<RowType>("f32", "f16");

/** All 65,536 halves occur as f32, NaN and infinities too, so both row types keep them. */
const half = fc.nat({ max: 0xffff }).map(halfToNumber);

/** IEEE 754 binary16 by the book: an oracle for the codec's own conversion. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const shape = fc.record({ nodes: fc.nat({ max: 6 }), width: fc.nat({ max: 5 }) });

const column = (nodes: number) =>
  fc.array(u32, { minLength: nodes, maxLength: nodes }).map((list) => Uint32Array.from(list));
const matrix = (length: number) =>
  fc.array(half, { minLength: length, maxLength: length }).map((list) => Float32Array.from(list));

const segment: fc.Arbitrary<SegmentFrame> = shape.chain(({ nodes, width }) =>
  fc
    .record({
      epoch: u32,
      generation: u32,
      sequence: fc.oneof(fc.constant(0), u32),
      committed: fc.boolean(),
      certain: u32,
      columns: fc.tuple(column(nodes), column(nodes), column(nodes), column(nodes)),
      spec: fc.option(fc.uint8Array({ minLength: 1, maxLength: 9 }), { nil: undefined }),
      rows: fc.option(matrix(nodes * width), { nil: undefined }),
    })
    .map(({ columns: [ids, parents, tokens, positions], spec, rows, ...rest }) => ({
      kind: "segment",
      ...rest,
      nodes: { ids, parents, tokens, positions },
      ...(spec !== undefined && rest.sequence === 0 && { spec }),
      ...(rows !== undefined && { rows }),
      width: rows === undefined ? 0 : width,
    })),
);

const features: fc.Arbitrary<FeatureFrame> = shape.chain(({ nodes, width }) =>
  fc
    .record({
      epoch: u32,
      generation: u32,
      layer: u32,
      positions: column(nodes),
      rows: matrix(nodes * width),
    })
    .map((rest) => ({ kind: "features", ...rest, width })),
);

const chain = (...ids: number[]) => ({
  ids: Uint32Array.from(ids),
  parents: Uint32Array.from(ids, (id) => id - 1),
  tokens: Uint32Array.from(ids, (id) => id * 100),
  positions: Uint32Array.from(ids, (id) => id + 10),
});

const SEGMENT: SegmentFrame = {
  kind: "segment",
  epoch: 3,
  generation: 1,
  sequence: 0,
  committed: true,
  certain: 14,
  nodes: chain(2, 3),
  spec: new TextEncoder().encode("{}"),
  rows: Float32Array.from([1, -2, 0.5, 0, 3, 4]),
  width: 3,
};

const FEATURES: FeatureFrame = {
  kind: "features",
  epoch: 3,
  generation: 1,
  layer: 20,
  positions: Uint32Array.of(9),
  rows: Float32Array.of(1, 2),
  width: 2,
};

/** With its rows as a list: `toEqual` holds a NaN in a Float32Array for unequal to itself. */
function listed(frame: SegmentFrame | FeatureFrame) {
  return { ...frame, rows: frame.rows && [...frame.rows] };
}

/** `body` with some bytes replaced and, so that only these can be at fault, a right checksum. */
function forge(body: Uint8Array, offset: number, ...bytes: number[]): Uint8Array {
  const forged = body.slice();
  forged.set(bytes, offset);
  new DataView(forged.buffer).setUint32(forged.length - 4, crc32(forged.subarray(0, -4)), true);
  return forged;
}

describe("frames", () => {
  test("come out as they went in", async () => {
    await fc.assert(
      fc.property(segment, features, dtype, (given, tap, type) => {
        expect(listed(decodeSegment(encodeSegment(given, type)))).toEqual(listed(given));
        expect(listed(decodeFeatures(encodeFeatures(tap, type)))).toEqual(listed(tap));
      }),
    );
  });

  test("have the documented layout", () => {
    const { body } = encodeSegment(SEGMENT, "f32");
    const view = new DataView(body.buffer);
    expect(new TextDecoder().decode(body.subarray(0, 4))).toBe("FLOW");
    expect([...body.subarray(4, 8)]).toEqual([2, 1, 1, 1]);
    const words = Array.from({ length: 15 }, (_, i) => view.getUint32(8 + 4 * i, true));
    expect(words).toEqual([3, 1, 0, 2, 3, 2, 14, 2, 3, 1, 2, 200, 300, 12, 13]);
    const rows = Array.from({ length: 6 }, (_, i) => view.getFloat32(68 + 4 * i, true));
    expect(rows).toEqual([1, -2, 0.5, 0, 3, 4]);
    expect(new TextDecoder().decode(body.subarray(92, 94))).toBe("{}");
    expect(view.getUint32(94, true)).toBe(crc32(body.subarray(0, 94)));
    expect(body.length).toBe(98);
    const tap = encodeFeatures(FEATURES, "f16").body;
    expect([...tap.subarray(4, 8)]).toEqual([2, 2, 0, 2]);
    expect([...tap.subarray(36, 44)]).toEqual([9, 0, 0, 0, 0x00, 0x3c, 0x00, 0x40]);
    expect(tap.length).toBe(48);
  });

  test("say in their headers what they hold", () => {
    expect(encodeSegment(SEGMENT, "f16").headers).toEqual({
      "Flow-Kind": "segment",
      "Flow-Epoch": "3",
      "Flow-Gen": "1",
      "Flow-Seq": "0",
      "Flow-Nodes": "2",
      "Flow-Pos": "12-13",
      "Flow-Shape": "2x3:f16",
    });
    expect(encodeFeatures(FEATURES, "f32").headers).toEqual({
      "Flow-Kind": "features",
      "Flow-Epoch": "3",
      "Flow-Gen": "1",
      "Flow-Layer": "20",
      "Flow-Nodes": "1",
      "Flow-Pos": "9",
      "Flow-Shape": "1x2:f32",
    });
    const { rows: _, spec: __, ...bare } = SEGMENT;
    const empty = encodeSegment({ ...bare, sequence: 4, nodes: chain() }, "f32").headers;
    expect(Object.keys(empty)).toEqual(["Flow-Kind", "Flow-Epoch", "Flow-Gen", "Flow-Seq", "Flow-Nodes"]);
  });

  test("f32 rows of an aligned body are not copied, those of an unaligned one are right all the same", () => {
    const { body } = encodeSegment(SEGMENT, "f32");
    expect(decodeSegment({ body }).rows!.buffer).toBe(body.buffer);
    for (const shift of [1, 2, 3]) {
      const shifted = new Uint8Array(body.length + shift).subarray(shift);
      shifted.set(body);
      expect(decodeSegment({ body: shifted })).toEqual(SEGMENT);
    }
  });

  test("the largest segment fits its bounds", () => {
    const nodes = chain(...Array.from({ length: NODES_MAX }, (_, i) => i + 1));
    const rows = new Float32Array(NODES_MAX * 2).fill(1.5);
    const large: SegmentFrame = { ...SEGMENT, nodes, rows, width: 2, spec: new Uint8Array(SPEC_BYTES_MAX) };
    expect(decodeSegment(encodeSegment(large, "f16"))).toEqual(large);
    const wide = { ...FEATURES, rows: new Float32Array(WIDTH_MAX).fill(-1), width: WIDTH_MAX };
    expect(decodeFeatures(encodeFeatures(wide, "f32"))).toEqual(wide);
  });
});

describe("f16", () => {
  function through(...values: number[]): number[] {
    const frame = { ...FEATURES, rows: Float32Array.from(values), width: values.length };
    return [...decodeFeatures(encodeFeatures(frame, "f16")).rows];
  }

  test("keeps every half exactly: subnormals, zeros of both signs, infinities, NaN", () => {
    const all = Array.from({ length: 0x1_0000 }, (_, bits) => halfToNumber(bits));
    const [first, second] = [all.slice(0, 0x8000), all.slice(0x8000)];
    expect([...through(...first), ...through(...second)].every((value, i) => Object.is(value, all[i]))).toBe(
      true,
    );
  });

  test("rounds to the nearest half, ties to the even one, and overflows to infinity", () => {
    expect(through(1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -11 + 2 ** -20)).toEqual([
      1,
      1 + 2 ** -9,
      1 + 2 ** -10,
    ]);
    expect(through(65_519, 65_520, -1e30, 2 ** -25, 2 ** -25 * 1.01)).toEqual([
      65_504,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      0,
      2 ** -24,
    ]);
  });
});

describe("a body that is no intact frame is refused", () => {
  const decoders = [decodeSegment, decodeFeatures];

  test("when it is cut anywhere or has a byte too many", async () => {
    await fc.assert(
      fc.property(segment, features, dtype, fc.nat(), (given, tap, type, seed) => {
        for (const { body } of [encodeSegment(given, type), encodeFeatures(tap, type)]) {
          const cut = seed % body.length;
          for (const decode of decoders) {
            expect(() => decode({ body: body.subarray(0, cut) })).toThrow(FrameError);
            expect(() => decode({ body: Uint8Array.of(...body, 0) })).toThrow(FrameError);
          }
        }
      }),
    );
  });

  test("when any single byte is another", async () => {
    const { body } = encodeSegment(SEGMENT, "f16");
    await fc.assert(
      fc.property(fc.nat({ max: body.length - 1 }), fc.integer({ min: 1, max: 255 }), (index, change) => {
        const flipped = body.slice();
        flipped[index]! ^= change;
        expect(() => decodeSegment({ body: flipped })).toThrow(FrameError);
      }),
      { numRuns: 2000 },
    );
  });

  test("when it is noise, or noise behind a right beginning and a right checksum", async () => {
    await fc.assert(
      fc.property(fc.uint8Array({ minLength: 28, maxLength: 200 }), fc.boolean(), (noise, segmentKind) => {
        const body = new Uint8Array(12 + noise.length);
        body.set(new TextEncoder().encode("FLOW"));
        body.set([2, segmentKind ? 1 : 2, 0, 1], 4);
        body.set(noise, 8);
        // A frame by chance is no failure; anything but a frame or a FrameError is.
        for (const decode of decoders) {
          for (const candidate of [noise, body, forge(body, 0, ...body.subarray(0, 4))]) {
            try {
              expect(decode({ body: candidate }).epoch).toBeNumber();
            } catch (error) {
              expect(error).toBeInstanceOf(FrameError);
            }
          }
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("whatever its header claims, before anything is allocated for it", () => {
    const { body } = encodeSegment(SEGMENT, "f32");
    const lies: [number, number[], RegExp][] = [
      [0, [0x66], /does not begin with "FLOW"/],
      [4, [1], /version 1; this program reads 2/],
      [5, [3], /unknown frame kind 3/],
      [6, [3], /unknown flags 3/],
      [7, [9], /unknown type of rows 9/],
      [16, [1], /spec bytes is 2; .* 0 to 0/],
      [20, [3], /its header asks for 126/],
      [20, [0xff, 0xff, 0xff, 0xff], /nodes is 4294967295/],
      [20, [0x01, 0x10], /nodes is 4097; .* 0 to 4096/],
      [24, [0x01, 0x00, 0x01], /width is 65537; .* 0 to 65536/],
      [28, [0x01, 0x00, 0x01], /spec bytes is 65537/],
      [28, [3], /has 98 bytes; its header asks for 99/],
    ];
    for (const [offset, bytes, complaint] of lies) {
      expect(() => decodeSegment({ body: forge(body, offset, ...bytes) })).toThrow(complaint);
    }
    const tap = encodeFeatures(FEATURES, "f32").body;
    expect(() => decodeFeatures({ body: forge(tap, 6, 1) })).toThrow(/unknown flags 1/);
    expect(() => decodeFeatures({ body: forge(tap, 7, 0) })).toThrow(/features without rows/);
    expect(() => decodeFeatures({ body: forge(tap, 32, 1) })).toThrow(/certain tokens is 1; .* 0 to 0/);
    expect(() => decodeFeatures({ body })).toThrow(/of kind segment, not features/);
    expect(() => decodeSegment({ body: tap })).toThrow(/of kind features, not segment/);
  });

  test("and frames whose parts don't fit together are not made", () => {
    const bad: Partial<SegmentFrame>[] = [
      { rows: new Float32Array(5) },
      { width: 4 },
      { nodes: { ...SEGMENT.nodes, parents: new Uint32Array(1) } },
      { sequence: 1 },
      { epoch: -1 },
      { generation: 0.5 },
      { certain: 2 ** 32 },
      {
        nodes: chain(...Array.from({ length: NODES_MAX + 1 }, (_, i) => i)),
        width: 0,
        rows: new Float32Array(0),
      },
      { spec: new Uint8Array(SPEC_BYTES_MAX + 1) },
    ];
    for (const change of bad)
      expect(() => encodeSegment({ ...SEGMENT, ...change }, "f32")).toThrow(FrameError);
    expect(() => encodeFeatures({ ...FEATURES, rows: new Float32Array(3) }, "f32")).toThrow(FrameError);
  });
});
