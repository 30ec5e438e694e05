import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchResult } from "../../bench/result.ts";
import { elementsOf } from "../bench/well-formed.ts";
import { type EndedCommand, runFlowmesh } from "../flowmesh-command.ts";

const MINUTES = 60_000;
const SETTING = ["--stages", "2", "--devices", "real", "--policies", "naive fullflow", "--profile"];
const AMOUNT = ["--prompts", "2", "--tokens", "8", "--repeats", "1", "--temperatures", "0,1"];
const PROMPTS = [
  { id: "sea", kind: "question", prompt: "Why is the sea salty?" },
  { id: "talk", kind: "conversation", turns: ["Hello! Who are you?", "And what do you like?"] },
];

let folder: string;
let finished: EndedCommand;
let result: BenchResult;

const bench = (...args: string[]) => runFlowmesh(["bench", ...args]);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bench-"));
  const prompts = join(folder, "prompts.jsonl");
  await Bun.write(prompts, PROMPTS.map((prompt) => JSON.stringify(prompt)).join("\n"));
  finished = await bench(...SETTING, ...AMOUNT, "--file", prompts, "--out", folder);
  result = await Bun.file(join(folder, "results.json")).json();
}, 6 * MINUTES);

afterAll(() => rm(folder, { recursive: true }));

describe("flowmesh bench", () => {
  test("ends well when every answer is plain decoding's, and leaves report, figures and plots", async () => {
    expect(finished.errors).not.toContain("flowmesh:");
    expect(finished.code).toBe(0);
    expect((await readdir(folder)).sort()).toEqual(
      [
        "prompts.jsonl",
        "ratios-autoregressive.svg",
        "ratios-naive.svg",
        "rates.svg",
        "report.md",
        "results.json",
        "time-line-real-none-t0.svg",
        "time-line-real-none-t1.svg",
      ].sort(),
    );
    const report = await Bun.file(join(folder, "report.md")).text();
    expect(finished.output.trim()).toBe(report.trim());
    expect(report).toContain("0 of 18 answers differ");
    for (const name of await readdir(folder)) {
      if (name.endsWith(".svg"))
        expect(elementsOf(await Bun.file(join(folder, name)).text()).get("svg")).toBe(1);
    }
  });

  test("measures every contender on the same prompts, all turns of them", () => {
    const runs = result.scenarios.flatMap((scenario) => scenario.runs);
    const asked = Map.groupBy(runs, ({ policy }) => policy);
    expect([...asked.keys()].sort()).toEqual(["autoregressive", "fullflow", "naive"]);
    const questions = [...asked.values()].map((own) =>
      own.map(({ prompt, turn, temperature }) => `${prompt} ${turn} ${temperature}`).sort(),
    );
    expect(questions[0]).toEqual(["sea 1 0", "sea 1 1", "talk 1 0", "talk 1 1", "talk 2 0", "talk 2 1"]);
    expect(questions[1]).toEqual(questions[0]!);
    expect(questions[2]).toEqual(questions[0]!);
  });

  test("hears what every stage did: work in all of them, and misses as the tree manager counts them", () => {
    for (const run of result.scenarios.flatMap((scenario) => scenario.runs)) {
      expect(run.tokens.length).toBeGreaterThan(0);
      if (run.decodedTokens < 2) continue;
      expect(run.afterMissMs.length).toBe(Math.round(run.missShare * (run.decodedTokens - 1)));
      for (const { live, dead } of run.stages) {
        expect(live).toBeGreaterThan(0);
        expect(live + dead).toBeLessThanOrEqual(1.001);
      }
      expect(run.computeMs).toBeGreaterThan(0);
      expect(run.computeMs).toBeLessThanOrEqual(run.busyMs);
      if (run.policy === "autoregressive") expect(run.missShare).toBe(1);
    }
  });

  test("accounts for all of the time between commits", () => {
    const { runs, profiles } = result.scenarios[0]!;
    for (const { policy, temperature, profile } of profiles) {
      const own = runs.filter((run) => run.policy === policy && run.temperature === temperature);
      const decodeMs = own.reduce((sum, run) => sum + run.decodeMs, 0);
      const profiled = Object.values(profile.ms).reduce((sum, ms) => sum + ms, 0);
      expect(profiled).toBeCloseTo(decodeMs, 3);
      expect(profile.ms.model).toBeGreaterThan(0);
    }
    expect(profiles.length).toBe(6);
  });

  test.each([
    [["--baseline", "flowspec"], "it must be one of those that play: autoregressive, naive, fullflow"],
    [["--devices", "abacus"], "'abacus'; it must be one of"],
    [["--tune", "--drafter", "none"], "option '--tune' needs a drafter"],
  ])("refuses %p before anything is started, and says what would be right", async (options, right) => {
    const { code, errors } = await bench(...SETTING, ...options);
    expect(errors).toContain(right);
    expect(code).toBe(2);
  });
});
