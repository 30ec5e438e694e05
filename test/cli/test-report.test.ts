import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readJunitCounts, readJunitFailures } from "../../cli/test-report.ts";

describe("the counts of a JUnit report", () => {
  test("equal what a real run of the test runner did", async () => {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-report-"));
    const source = `
      import { describe, expect, test } from "bun:test";
      describe("inner", () => {
        test("right <&> \\"quoted\\"", () => {});
        test("right again", () => {});
        test.each([1, 2])("case %d", () => {});
        describe("in <it>", () => test("wrong & 'quoted'", () => expect(1).toBe(2)));
        test.skip("left out", () => {});
        test.todo("not yet");
      });`;
    await Bun.write(join(folder, "sample.test.ts"), source);
    const report = join(folder, "report.xml");
    const command = [process.execPath, "test", "--reporter=junit", `--reporter-outfile=${report}`];
    const run = Bun.spawn(command, { cwd: folder, stdio: ["ignore", "ignore", "ignore"] });
    expect(await run.exited).not.toBe(0);
    const xml = await Bun.file(report).text();
    expect(readJunitCounts(xml)).toEqual({ passed: 4, failed: 1, skipped: 2 });
    expect(readJunitFailures(xml)).toEqual(["sample.test.ts: inner > in <it> > wrong & 'quoted'"]);
    await rm(folder, { recursive: true });
  });

  test("are unknown for a file that is no report", () => {
    for (const text of ["", "<html></html>", "<testsuites name='x'>", '<testsuites tests="3">']) {
      expect(readJunitCounts(text)).toBeUndefined();
    }
  });
});
