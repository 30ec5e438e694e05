import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CheckOptions } from "../../cli/check.ts";

let root: string;

const testFile = (body: string): string => `import { expect, test } from "bun:test";\n${body}\n`;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "flowmesh-check-"));
  const files: Record<string, string> = {
    "deep/right.test.ts": testFile('test("a", () => {}); test("b", () => {}); test.skip("c", () => {});'),
    "wrong.test.ts": testFile('test("a", () => {}); test("b", () => expect(1).toBe(2));'),
    "broken.test.ts": "this is not TypeScript",
    "rejects.test.ts": testFile(
      'test("a", () => { setTimeout(() => { throw new Error("late"); }, 0); });\ntest("b", () => Bun.sleep(50));',
    ),
    "simulation/waves.test.ts": testFile('test("a", () => {});'),
    "integration/mesh.test.ts": testFile('test("a", () => {});'),
  };
  for (const [path, text] of Object.entries(files)) await Bun.write(join(root, "test", path), text);
  // A checkout with a compiler that always agrees and a formatter that never does.
  await Bun.write(
    join(root, "package.json"),
    '{"scripts":{"tsc":"true","biome":"echo bad && false","knip":"true"}}',
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function run(options: Partial<CheckOptions>) {
  const script = join(import.meta.dir, "check-script.ts");
  const json = JSON.stringify({ filters: [], root, ...options });
  const process_ = Bun.spawn([process.execPath, script, json], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, code] = await Promise.all([
    new Response(process_.stdout).text(),
    new Response(process_.stderr).text(),
    process_.exited,
  ]);
  const lines = out.trimEnd().split("\n");
  return { lines, lastLine: lines.at(-1), errors, code };
}

describe("flowmesh test", () => {
  test("counts the tests of one file", async () => {
    expect(await run({ filters: ["right"] })).toMatchObject({ code: 0, lastLine: "2 passed, 0 failed" });
    expect(await run({ filters: ["./test/deep/right.test.ts"] })).toMatchObject({ code: 0 });
  });

  test("adds groups up, and fails when one test fails", async () => {
    const result = await run({ filters: ["right", "wrong", "simulation", "integration"] });
    expect(result).toMatchObject({ code: 1, lastLine: "5 passed, 1 failed" });
    expect(result.lines.filter((line) => line.startsWith("failed:"))).toEqual([
      "failed: test/wrong.test.ts: b",
    ]);
  });

  test.each(["broken", "rejects"])(
    "fails when %s.test.ts has an error outside of any test's own",
    async (filter) => {
      const { code, lastLine, lines } = await run({ filters: [filter] });
      expect(code).toBe(1);
      expect(lines.some((line) => line.startsWith(`failed: `) && line.includes(filter))).toBe(true);
      expect(lastLine).toMatch(/^\d+ passed, [1-9]\d* failed$/);
    },
  );

  test("runs one group alone", async () => {
    expect(await run({ only: "simulation" })).toMatchObject({ code: 0, lastLine: "1 passed, 0 failed" });
    expect(await run({ only: "types" })).toMatchObject({ code: 0, lastLine: "1 passed, 0 failed" });
  });

  test("counts each house check as one, and shows what a failed one said", async () => {
    const result = await run({ only: "format" });
    expect(result).toMatchObject({ code: 1, lastLine: "0 passed, 1 failed" });
    expect(result.errors).toContain("format failed: biome ci");
    expect(result.errors).toContain("bad");
  });

  test("fails when nothing was run", async () => {
    const result = await run({ filters: ["no-such-file"] });
    expect(result).toMatchObject({ code: 1, lastLine: "0 passed, 0 failed" });
    expect(result.errors).toContain("there is no test file with no-such-file in its path");
  });
});
