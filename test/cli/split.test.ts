import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { candidateSplits, fastestSplit, RememberedSplits } from "../../cli/split.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-split-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("the split of a machine", () => {
  test("is looked for among those that use all cores and no core twice", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 128 }), fc.integer({ min: 1, max: 80 }), (cores, layers) => {
        const splits = candidateSplits(cores, layers);
        expect(splits[0]).toEqual({ stages: 1, threads: cores });
        for (const { stages, threads } of splits) {
          expect(stages * threads).toBeLessThanOrEqual(cores);
          expect(stages * (threads + 1)).toBeGreaterThan(cores);
          expect(stages).toBeLessThanOrEqual(layers);
        }
      }),
    );
    expect(candidateSplits(6, 30)).toEqual([
      { stages: 1, threads: 6 },
      { stages: 2, threads: 3 },
      { stages: 4, threads: 1 },
    ]);
  });

  test("is the fastest one, and of equals that with fewer stages", () => {
    const tried = [
      { stages: 1, threads: 4, tokensPerSecond: 30 },
      { stages: 2, threads: 2, tokensPerSecond: 40 },
      { stages: 4, threads: 1, tokensPerSecond: 40 },
    ];
    expect(fastestSplit(tried)).toMatchObject({ stages: 2, threads: 2 });
  });

  test("is remembered for what it was found for, beside others, and measured again when the file is damaged", async () => {
    const splits = new RememberedSplits(join(folder, "cache"));
    expect(await splits.get("one")).toBeUndefined();
    await splits.set("one", { stages: 2, threads: 2 });
    await splits.set("two", { stages: 1, threads: 4 });
    expect(await new RememberedSplits(join(folder, "cache")).get("one")).toEqual({ stages: 2, threads: 2 });
    expect(await splits.get("two")).toEqual({ stages: 1, threads: 4 });
    expect(await readdir(join(folder, "cache"))).toEqual(["splits.json"]);
    await Bun.write(join(folder, "cache", "splits.json"), '{"one": {"stages": ');
    expect(await splits.get("one")).toBeUndefined();
    await splits.set("one", { stages: 1, threads: 1 });
    expect(await splits.get("one")).toEqual({ stages: 1, threads: 1 });
  });
});
