import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { ModelFileError } from "../../../models/errors.ts";
import { openGguf } from "../../../models/gguf/gguf-file.ts";
import { type GgufSource, ggufBytes, type TypedValue } from "./gguf-bytes.ts";

const PYTHON_FILE = join(import.meta.dir, "../../fixtures/gguf/values.gguf");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gguf-file-"));
});
afterAll(() => rm(folder, { recursive: true }));

const tensor = (name: string, bytes: readonly number[]) => ({
  name,
  type: "I8" as const,
  shape: [bytes.length],
  bytes: Uint8Array.from(bytes),
});

const SMALL: GgufSource = {
  metadata: [
    ["general.architecture", { string: "llama" }],
    ["texts", { array: { of: "string", values: [{ string: "a" }, { string: "bc" }] } }],
  ],
  tensors: [tensor("first", [1, 2, 3]), tensor("second", [4, 5, 6, 7])],
};

async function fileOf(content: Uint8Array | string): Promise<string> {
  const path = join(folder, `${crypto.randomUUID()}.gguf`);
  await Bun.write(path, content);
  return path;
}

/** Opens a file of these bytes, which must fail; returns the message. */
async function refusal(content: Uint8Array | string): Promise<string> {
  const path = await fileOf(content);
  return refusalOf(path);
}

async function refusalOf(path: string): Promise<string> {
  const error = await openGguf(path).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ModelFileError)) throw new Error(`not refused: ${error}`);
  expect(error.message).toStartWith(`${path}: `);
  return error.message;
}

/** SMALL with the bytes at `find` + `shift` replaced. */
function patched(find: string, shift: number, replacement: readonly number[]): Uint8Array {
  const bytes = ggufBytes(SMALL);
  const at = Buffer.from(bytes).indexOf(find);
  bytes.set(replacement, at + shift);
  return bytes;
}

describe("a file written by the Python package gguf", () => {
  test("has its metadata with exact values of every type", async () => {
    const gguf = await openGguf(PYTHON_FILE);
    await gguf.close();
    expect(gguf.version).toBe(3);
    expect(Object.fromEntries(gguf.metadata)).toEqual({
      "general.architecture": "llama",
      "general.alignment": 64,
      "v.u8": 255,
      "v.i8": -128,
      "v.u16": 65_535,
      "v.i16": -32_768,
      "v.u32": 4_294_967_295,
      "v.i32": -2_147_483_648,
      "v.f32": 0.5,
      "v.true": true,
      "v.false": false,
      "v.text": "Ġ naïve 😀",
      "v.u64": 18_446_744_073_709_551_615n,
      "v.i64": -9_223_372_036_854_775_808n,
      "v.f64": 0.1,
      "v.texts": ["a", "", "ç"],
      "v.numbers": [1, -2, 3],
    });
  });

  test("has its tensors with row-major shapes and their own bytes", async () => {
    const gguf = await openGguf(PYTHON_FILE);
    const shapes = [...gguf.tensors.values()].map(({ name, type, shape }) => ({ name, type, shape }));
    expect(shapes).toEqual([
      { name: "one", type: "F32", shape: [5] },
      { name: "two", type: "F16", shape: [2, 3] },
      { name: "four", type: "I8", shape: [2, 3, 4, 5] },
      { name: "blocks", type: "Q8_0", shape: [3, 64] },
    ]);
    const one = await gguf.readTensor("one");
    expect(new Float32Array(one.buffer)).toEqual(Float32Array.of(0, 1, 2, 3, 4));
    expect(await gguf.readTensor("four")).toEqual(Uint8Array.from({ length: 120 }, (_, i) => i));
    expect(await gguf.readTensor("blocks")).toEqual(Uint8Array.from({ length: 204 }, (_, i) => i));
    expect([...gguf.tensors.values()].map(({ offset }) => offset % 64)).toEqual([0, 0, 0, 0]);
    await gguf.close();
  });
});

test("version 2 is read as version 3 is", async () => {
  const gguf = await openGguf(await fileOf(ggufBytes({ ...SMALL, version: 2 })));
  expect(gguf.version).toBe(2);
  expect(gguf.metadata.get("texts")).toEqual(["a", "bc"]);
  expect(await gguf.readTensor("second")).toEqual(Uint8Array.of(4, 5, 6, 7));
  await gguf.close();
});

test("metadata larger than one read is whole", async () => {
  const words = Array.from({ length: 40_000 }, (_, i) => ({ string: `${i} ${"ß".repeat(i % 40)}` }));
  const metadata: GgufSource["metadata"] = [
    ["before", { string: "x".repeat(1024 * 1024 - 60) }],
    ["words", { array: { of: "string", values: words } }],
    ["after", { u32: 7 }],
  ];
  const gguf = await openGguf(await fileOf(ggufBytes({ ...SMALL, metadata })));
  await gguf.close();
  expect(gguf.metadata.get("words")).toEqual(words.map((word) => word.string));
  expect(gguf.metadata.get("after")).toBe(7);
});

test("any metadata comes back as it was written", async () => {
  const value: fc.Arbitrary<TypedValue> = fc.oneof(
    fc.string({ unit: "grapheme" }).map((string) => ({ string })),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((u64) => ({ u64 })),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((i64) => ({ i64 })),
    fc.double({ noNaN: true }).map((f64) => ({ f64 })),
    fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })).map(
      (numbers): TypedValue => ({
        array: { of: "i32", values: numbers.map((i32) => ({ i32 })) },
      }),
    ),
  );
  const plain = (typed: TypedValue): unknown => {
    if ("array" in typed) return typed.array.values.map(plain);
    const [only] = Object.values(typed);
    return typeof only === "bigint" && BigInt(Number(only)) === only && Number.isSafeInteger(Number(only))
      ? Number(only)
      : only;
  };
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.string(), value), async (values) => {
      const metadata = Object.entries(values).filter(([key]) => key !== "general.alignment");
      const gguf = await openGguf(await fileOf(ggufBytes({ ...SMALL, metadata })));
      await gguf.close();
      expect([...gguf.metadata]).toEqual(metadata.map(([key, typed]) => [key, plain(typed)] as never));
    }),
    { numRuns: 100 },
  );
});

test("a tensor that is not there is named", async () => {
  const gguf = await openGguf(await fileOf(ggufBytes(SMALL)));
  await expect(gguf.readTensor("third")).rejects.toThrow(/no tensor third/);
  await gguf.close();
});

test("a file that shrinks after it was opened is refused", async () => {
  const path = await fileOf(ggufBytes(SMALL));
  const gguf = await openGguf(path);
  await truncate(path, gguf.sizeBytes - 2);
  await expect(gguf.readTensor("second")).rejects.toThrow(/became shorter/);
  await gguf.close();
});

describe("what is not a file of this format", () => {
  test("is refused by what it is", async () => {
    expect(await refusalOf(join(folder, "absent.gguf"))).toContain("no such file");
    expect(await refusalOf(folder)).toContain("a directory");
    expect(await refusalOf("/dev/null")).toContain("not a regular file");
    expect(await refusal("")).toContain("empty");
    expect(await refusal("GG")).toContain("truncated");
    expect(await refusal("hello, world")).toContain("not a GGUF file");
    expect(await refusal("\n<!DOCTYPE html><html>")).toContain("an HTML page");
    expect(await refusal("version https://git-lfs.github.com/spec/v1\n")).toContain("Git LFS pointer");
    expect(await refusal('\x10\0\0\0\0\0\0\0{"__metadata__":{}}')).toContain("safetensors");
    expect(await refusal("PK\x03\x04 archive/data.pkl")).toContain("zip archive");
    expect(await refusal(Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc))).toContain("pickle");
    expect(await refusal("tjgg\x03\0\0\0")).toContain("before GGUF");
  });

  test("with another version or byte order is refused", async () => {
    expect(await refusal(ggufBytes({ ...SMALL, version: 1 }))).toContain("version 1, and versions 2 and 3");
    expect(await refusal(ggufBytes({ ...SMALL, version: 4 }))).toContain("version 4");
    expect(await refusal(ggufBytes({ ...SMALL, version: 0x0300_0000 }))).toContain("big-endian");
  });
});

describe("a damaged file", () => {
  const HUGE = [255, 255, 255, 255, 255, 255, 255, 127];

  test("is refused at every length it can be cut to", async () => {
    const bytes = ggufBytes(SMALL);
    for (let length = 4; length < bytes.length; length++) {
      expect(await refusal(bytes.subarray(0, length))).toContain("truncated");
    }
  });

  test("never does worse than being refused, whatever byte is wrong", async () => {
    const bytes = ggufBytes(SMALL);
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const spoilt = bytes.slice();
        for (const [at, flip] of changes) spoilt[at]! ^= flip;
        try {
          await (await openGguf(await fileOf(spoilt))).close();
        } catch (error) {
          expect(error).toBeInstanceOf(ModelFileError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("with absurd counts is refused before anything is allocated", async () => {
    const bytes = ggufBytes(SMALL);
    const withCount = (at: number, count: readonly number[]) => {
      const spoilt = bytes.slice();
      spoilt.set(count, at);
      return spoilt;
    };
    expect(await refusal(withCount(8, HUGE))).toMatch(/declares \d+ for the number of tensors/);
    expect(await refusal(withCount(16, HUGE))).toMatch(/declares \d+ for the number of metadata entries/);
    expect(await refusal(withCount(8, [0, 0, 8]))).toContain("truncated");
    expect(await refusal(withCount(24, HUGE))).toMatch(/declares \d+ for the bytes of a metadata key/);
    // "texts" is followed by its type (4 bytes), the element type (4) and the length.
    expect(await refusal(patched("texts", 13, HUGE))).toMatch(/declares \d+ for the elements of texts/);
    expect(await refusal(patched("texts", 13, [0, 0, 16]))).toContain("truncated");
    // "second" is followed by the number of dimensions (4) and the dimension.
    expect(await refusal(patched("second", 10, HUGE))).toMatch(/declares \d+ for dimension 0 of second/);
  });

  test("with unknown types is refused by their number", async () => {
    expect(await refusal(patched("texts", 5, [13]))).toContain("texts has the unknown value type 13");
    expect(await refusal(patched("texts", 9, [200]))).toContain("texts has the unknown value type 200");
    const tensors = [{ ...tensor("odd", [1]), type: 36 }];
    expect(await refusal(ggufBytes({ ...SMALL, tensors }))).toContain("odd has the unknown type number 36");
  });

  test("with a name that is used twice is refused", async () => {
    const twice = { ...SMALL, tensors: [tensor("same", [1]), tensor("same", [2])] };
    expect(await refusal(ggufBytes(twice))).toContain("tensor same is declared twice");
    const [first] = SMALL.metadata;
    const keys = { ...SMALL, metadata: [first!, first!] };
    expect(await refusal(ggufBytes(keys))).toContain("key general.architecture is declared twice");
  });

  test("with impossible shapes, offsets or alignment is refused", async () => {
    expect(await refusal(patched("second", 6, [0]))).toContain("second has 0 dimensions");
    expect(await refusal(patched("second", 6, [5]))).toContain("second has 5 dimensions");
    const rows = { ...SMALL, tensors: [{ ...tensor("odd", [1]), type: "Q8_0" as const, shape: [2, 33] }] };
    expect(await refusal(ggufBytes(rows))).toContain("odd cannot be Q8_0 with the shape [2,33]");
    const none = { ...SMALL, tensors: [{ ...tensor("none", [1]), shape: [0, 4] }] };
    expect(await refusal(ggufBytes(none))).toContain("none cannot be I8");
    expect(await refusal(patched("second", 22, [33]))).toContain("does not start at a multiple of 32");
    for (const value of [{ u32: 0 }, { u32: 48 }, { string: "32" }, { u32: 2 ** 24 }]) {
      const metadata: GgufSource["metadata"] = [["general.alignment", value]];
      expect(await refusal(ggufBytes({ ...SMALL, metadata }))).toContain("general.alignment");
    }
  });

  test("with arrays in arrays is read to a limit", async () => {
    const nest = (depth: number): TypedValue =>
      depth === 0
        ? { array: { of: "u8", values: [{ u8: 9 }] } }
        : { array: { of: "array", values: [nest(depth - 1)] } };
    const gguf = await openGguf(await fileOf(ggufBytes({ ...SMALL, metadata: [["deep", nest(2)]] })));
    await gguf.close();
    expect(gguf.metadata.get("deep")).toEqual([[[9]]]);
    expect(await refusal(ggufBytes({ ...SMALL, metadata: [["deep", nest(3)]] }))).toContain(
      "nested too deeply",
    );
  });
});
