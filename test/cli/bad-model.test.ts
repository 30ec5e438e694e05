import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runFlowmesh } from "../flowmesh-command.ts";
import { natsServerPath } from "../nats-server-path.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const TIMEOUT_MS = 60_000;
/** Type id of a quantisation in blocks of 32, as Q4_1 is, that is not supported. */
const IQ4_NL = 20;

let folder: string;
let searchPath: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-bad-"));
  const bin = join(folder, "bin");
  await mkdir(bin);
  await symlink(await natsServerPath(), join(bin, "nats-server"));
  searchPath = `${bin}:${process.env.PATH}`;
}, TIMEOUT_MS);
afterAll(() => rm(folder, { recursive: true, force: true }));

/** `flowmesh up` with a cache of its own; gives how it ended and what it said. */
async function up(args: string[], path = searchPath) {
  const home = await mkdtemp(join(folder, "home-"));
  const port = String(20_000 + Math.floor(Math.random() * 20_000));
  const env = { PATH: path, FLOWMESH_HOME: home, HOME: home };
  const { code, output, errors } = await runFlowmesh(["up", "--port", port, ...args], env);
  const left = (await Array.fromAsync(new Bun.Glob("**/*").scan({ cwd: home }))).filter(
    (name) => name.startsWith("compiled/") || name.includes(".part"),
  );
  return { code, text: output + errors, left, runs: await readdir(join(home, "run")).catch(() => []) };
}

async function modelFile(name: string, change: (bytes: Uint8Array) => Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeTinyGguf(path, { layers: 2 });
  await Bun.write(path, change(new Uint8Array(await Bun.file(path).arrayBuffer())));
  return path;
}

/** The file with one of its texts replaced by another of the same length. */
function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const at = Buffer.from(bytes).indexOf(from);
  expect(at).toBeGreaterThan(0);
  const changed = bytes.slice();
  changed.set(new TextEncoder().encode(to), at);
  return changed;
}

/** A tensor's type follows its name, the number of dimensions and the dimensions. */
function withTensorType(bytes: Uint8Array, tensor: string, type: number): Uint8Array {
  const changed = bytes.slice();
  const at = Buffer.from(bytes).indexOf(tensor) + tensor.length;
  const view = new DataView(changed.buffer);
  view.setUint32(at + 4 + 8 * view.getUint32(at, true), type, true);
  return changed;
}

const cases: Record<string, { make: () => Promise<string>; says: RegExp[] }> = {
  "that is missing": {
    make: async () => join(folder, "nowhere.gguf"),
    says: [/nowhere\.gguf/, /no such file/],
  },
  "cut short": {
    make: () => modelFile("cut.gguf", (bytes) => bytes.slice(0, bytes.length - 1000)),
    says: [/cut\.gguf/, /truncated|cut short|ends/],
  },
  "of another format": {
    make: () => modelFile("foreign.gguf", () => new TextEncoder().encode(`PK\u0003\u0004${"x".repeat(500)}`)),
    says: [/foreign\.gguf/, /zip/i],
  },
  "of an unknown architecture": {
    make: () => modelFile("arch.gguf", (bytes) => replaced(bytes, "llama", "mamba")),
    says: [/arch\.gguf/, /mamba/, /llama/],
  },
  "with an unknown quantisation": {
    make: () => modelFile("quant.gguf", (bytes) => withTensorType(bytes, "blk.0.ffn_down.weight", IQ4_NL)),
    says: [/quant\.gguf/, /IQ4_NL/, /Q4_K/],
  },
};

describe("a model file", () => {
  test.each(Object.entries(cases))(
    "%s is refused by name and cause, with nothing left behind",
    async (_, { make, says }) => {
      const { code, text, left, runs } = await up(["--model", await make(), "--stages", "2"]);
      for (const part of says) expect(text).toMatch(part);
      expect(code).toBe(1);
      expect(text).not.toContain("    at ");
      expect({ left, runs }).toEqual({ left: [], runs: [] });
    },
    TIMEOUT_MS,
  );
});

describe("a draft head", () => {
  test(
    "that is not there is named, and nobody drafts from n-grams instead",
    async () => {
      const model = await modelFile("whole.gguf", (bytes) => bytes);
      const missing = join(folder, "nowhere.json");
      const { code, text } = await up(["--model", model, "--stages", "2", "--draft-head", missing]);
      expect(text).toContain(`${missing}: it cannot be read`);
      expect(code).toBe(1);
    },
    TIMEOUT_MS,
  );

  test(
    "beside a drafter that has none is refused",
    async () => {
      const { code, text } = await up(["--drafter", "ngram", "--draft-head", "head.json"]);
      expect(text).toContain("option '--drafter <kind>' is ngram; choose head or hybrid");
      expect(code).toBe(2);
    },
    TIMEOUT_MS,
  );
});

test(
  "without any nats-server to be had, `up` says how to get one",
  async () => {
    const empty = join(folder, "empty");
    await mkdir(empty, { recursive: true });
    const { code, text, runs } = await up([], empty);
    expect(code).toBe(1);
    expect(text).toMatch(/nats-server/);
    expect(text).toMatch(/python3|pip|install/i);
    expect(runs).toEqual([]);
  },
  TIMEOUT_MS,
);
