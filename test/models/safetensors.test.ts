import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModelFileError } from "../../models/errors.ts";
import { openSafetensors } from "../../models/safetensors.ts";
import { f16, f32, i32, safetensorsBytes, withHeader } from "./draft/safetensors-bytes.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(bytes: Uint8Array): Promise<string> {
  const path = join(folder, `${crypto.randomUUID()}.safetensors`);
  await Bun.write(path, bytes);
  return path;
}

async function problemOf(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ModelFileError);
  return (error as ModelFileError).message;
}

const sound = safetensorsBytes(
  {
    half: f16([1, -2.5, 0.125, 65504, 0, -0], [2, 3]),
    // An odd number of bytes before it, so the next tensor is not aligned in the file.
    odd: { dtype: "U8", shape: [3], bytes: Uint8Array.of(1, 2, 3) },
    full: f32([Math.PI, -1e-30], [2]),
    ids: i32([7, -1, 2 ** 31 - 1], [3]),
    empty: f32([], [0, 4]),
  },
  { __metadata__: { target: "tiny", licence: "none" } },
);

describe("a sound file", () => {
  test("gives its tensors, converted to fp32", async () => {
    const file = await openSafetensors(await written(sound));
    try {
      expect([...(await file.readFloats("half", [2, 3]))]).toEqual([1, -2.5, 0.125, 65504, 0, -0]);
      expect([...(await file.readFloats("full", [2]))]).toEqual([Math.fround(Math.PI), Math.fround(-1e-30)]);
      expect([...(await file.readIntegers("ids", [3]))]).toEqual([7, -1, 2 ** 31 - 1]);
      expect((await file.readFloats("empty", [0, 4])).length).toBe(0);
      expect(file.metadata.get("target")).toBe("tiny");
      expect([...file.tensors.keys()]).toEqual(["half", "odd", "full", "ids", "empty"]);
    } finally {
      await file.close();
    }
  });

  test("refuses tensors that are not as asked for", async () => {
    const file = await openSafetensors(await written(sound));
    try {
      expect(await problemOf(file.readFloats("weights", [1]))).toContain("no tensor weights");
      expect(await problemOf(file.readFloats("half", [3, 2]))).toContain(
        "tensor half is F16 [2, 3], and F32 or F16 [3, 2] is needed",
      );
      expect(await problemOf(file.readFloats("ids", [3]))).toContain("I32 [3]");
      expect(await problemOf(file.readIntegers("full", [2]))).toContain("I32 [2] is needed");
    } finally {
      await file.close();
    }
  });
});

describe("a file cut anywhere", () => {
  test("is refused", async () => {
    for (let length = 0; length < sound.length; length++) {
      const problem = await problemOf(openSafetensors(await written(sound.subarray(0, length))));
      expect(problem).toMatch(/too few|truncated|it has only/);
    }
  });
});

describe("a damaged file is refused:", () => {
  const entry = { dtype: "F32", shape: [1], data_offsets: [0, 4] };
  const body = [new Uint8Array(4)];
  const file = (header: unknown) => withHeader(JSON.stringify(header), body);
  const cases: Record<string, [Uint8Array, string]> = {
    "another format": [new TextEncoder().encode("GGUF but not really safetensors"), "no safetensors file"],
    "a header that is no JSON": [withHeader("{", body), "not JSON"],
    "a header that is a list": [withHeader("[]", body), "not a JSON object"],
    "an unknown type": [file({ x: { ...entry, dtype: "F8" } }), "unknown type F8"],
    "no shape": [file({ x: { ...entry, shape: [-1] } }), "no valid shape"],
    "no place": [file({ x: { ...entry, data_offsets: [0] } }), "no valid place"],
    "a place of another size": [file({ x: { ...entry, shape: [2] } }), "takes 4 bytes"],
    "a place behind the end": [file({ x: { ...entry, data_offsets: [4, 8] } }), "truncated"],
    "an entry that is a number": [file({ x: 1 }), "no description"],
  };
  for (const [name, [bytes, problem]] of Object.entries(cases)) {
    test(name, async () => expect(await problemOf(openSafetensors(await written(bytes)))).toContain(problem));
  }

  test("a missing file", async () =>
    expect(await problemOf(openSafetensors(join(folder, "none")))).toContain("cannot be opened"));
});
