import { describe, expect, test } from "bun:test";
import type { BenchOptions } from "../../bench/bench-options.ts";
import type { Profile } from "../../bench/profile.ts";
import { renderReport } from "../../bench/report.ts";
import type { BenchResult, Scenario } from "../../bench/result.ts";
import { renderPlots } from "../../bench/result-plots.ts";
import { warningsOf } from "../../bench/warnings.ts";
import { madeRun } from "./made-records.ts";
import { elementsOf } from "./well-formed.ts";

const LINK = { name: "1ms/150mbit", delayMs: 1, mbps: 150 };

const OPTIONS: BenchOptions = {
  stages: 2,
  devices: ["jetson-like"],
  links: [LINK],
  policies: ["naive", "flowspec"],
  tune: true,
  prompts: 2,
  tokens: 5,
  repeats: 2,
  temperatures: [0],
  seed: 1,
  numerics: "fast",
  drafter: "auto",
  profile: true,
  predict: true,
};

/** Each policy so many times as fast as plain decoding, on two prompts and in two repeats. */
const SPEEDS = { autoregressive: 1, naive: 2, flowspec: 4, "flowspec*": 5 };
const RUNS = Object.entries(SPEEDS).flatMap(([policy, speed]) =>
  ["p1", "p2"].flatMap((prompt) =>
    [1, 2].map((repeat) => madeRun({ policy, prompt, repeat, decodeMs: 400 / speed, commits: 4 / speed })),
  ),
);

const profile: Profile = {
  tokens: 10,
  ms: { model: 800, link: 100, queueing: 40, drafting: 0, framework: 60 },
};

const SCENARIO: Scenario = {
  device: "jetson-like",
  link: LINK.name,
  contenders: [
    ...["autoregressive", "naive", "flowspec"].map((label) => ({ label, spec: label })),
    { label: "flowspec*", spec: "flowspec:total=8" },
  ],
  runs: RUNS,
  timeLines: [
    {
      title: "flowspec",
      lanes: ["stage 0", "stage 1"],
      bars: [{ lane: "stage 0", beginMs: 0, endMs: 40, live: 1, dead: 1, label: "2" }],
      commitsMs: [0, 90],
      temperature: 0,
      prompt: "p1",
    },
  ],
  profiles: [{ policy: "flowspec", temperature: 0, profile }],
  predictions: [{ policy: "flowspec", temperature: 0, tokensPerSecond: 50 }],
  actors: [
    {
      name: "stage-0",
      metadata: { layers: "0-14", costs_ms: "1=40.00", measured_costs_ms: "1=3.00" },
      residentMiB: 180.4,
      privateMiB: 90.2,
    },
  ],
};

const RESULT: BenchResult = {
  options: OPTIONS,
  command: "./flowmesh bench --tune",
  machine: "a machine, 2 cores",
  date: "2026-01-02T03:04:05.000Z",
  model: "a-model",
  code: "abc1234",
  baseline: "naive",
  scenarios: [SCENARIO],
  warnings: ["mind the gap"],
};

/** Cells of the row that begins with these. */
function rowOf(report: string, ...first: readonly string[]): string[] {
  const line = report.split("\n").find((text) => text.startsWith(`| ${first.join(" | ")} |`)) ?? "";
  return line.slice(2, -2).split(" | ");
}

describe("the report", () => {
  const report = renderReport(RESULT, [{ name: "rates.svg", title: "Rates" }]);

  test("says what was measured, on what, how, and with which command", () => {
    for (const text of [
      "./flowmesh bench --tune",
      "a machine, 2 cores",
      "2026-01-02",
      "abc1234",
      "a-model",
    ]) {
      expect(report).toContain(text);
    }
    expect(report).toContain("2 prompts × 2 repeats, up to 5 tokens an answer, seed 1");
    expect(report).toContain("- mind the gap");
    expect(report).toContain("![Rates](rates.svg)");
    expect(report).toContain("## Stages like jetson-like, links 1ms/150mbit");
  });

  test("compares each policy with plain decoding and with the baseline", () => {
    expect(rowOf(report, "0", "`flowspec*`")).toEqual([
      ...["0", "`flowspec*`", "50.0 (50.0–50.0)"],
      ...["5.00 (5.00–5.00)", "5.00 [5.00, 5.00]", "2.50 (2.50–2.50)", "2.50 [2.50, 2.50]"],
      ...["5.00", "1.00", "100 (100–100)"],
    ]);
    expect(rowOf(report, "0", "`autoregressive`")).toContain("0.50 (0.50–0.50)");
  });

  test("tells what a token took, and where its time went", () => {
    expect(report).toContain("| stage 0 busy: live + dead | stage 1 busy: live + dead |");
    const work = report.slice(report.indexOf("What a token took"));
    expect(rowOf(work, "0", "`naive`")).toEqual([
      "0",
      "`naive`",
      "0.00",
      "1.00",
      "1.0",
      "100 (100–100)",
      "50 % + 0 %",
      "25 % + 25 %",
    ]);
    const times = report.slice(report.indexOf("Where the time"));
    expect(rowOf(times, "0", "`flowspec`").slice(2)).toEqual([
      "100.0",
      "80.00 (80.0 %)",
      "10.00 (10.0 %)",
      "4.00 (4.0 %)",
      "0.00 (0.0 %)",
      "6.00 (6.0 %)",
    ]);
    expect(rowOf(report, "stage-0")).toEqual(["stage-0", "180", "90", "0-14", "1=40.00", "1=3.00"]);
  });

  test("says what tuned policies are, and which need no tuning", () => {
    expect(report).toContain("`naive` is fastest as it is; `flowspec*` is `flowspec:total=8`.");
  });

  test("compares with a policy as it is where tuning it found nothing better", () => {
    expect(renderReport({ ...RESULT, baseline: "naive*" }, [])).toContain("| × naive, paired |");
  });

  test("counts answers that are not plain decoding's, and names them", () => {
    expect(report).toContain("0 of 16 answers differ");
    const runs = [...RUNS, madeRun({ policy: "naive", repeat: 3, tokens: [1, 2, 9] })];
    const broken = renderReport({ ...RESULT, scenarios: [{ ...SCENARIO, runs }] }, []);
    expect(broken).toContain("1 of 17 answers differ");
    expect(rowOf(broken, "`naive`", "p1")).toEqual(["`naive`", "p1", "1", "0", "3", "2"]);
  });

  test("leaves out what there is not", () => {
    const scenarios = [{ ...SCENARIO, profiles: [] }];
    const options = { ...OPTIONS, tune: false };
    const short = renderReport({ ...RESULT, options, warnings: [], scenarios }, []);
    for (const text of ["## Warnings", "![", "Where the time", "Tuned"]) expect(short).not.toContain(text);
  });
});

describe("warnings", () => {
  const about = (scenario: Partial<Scenario>, stages = 2) =>
    warningsOf([{ ...SCENARIO, profiles: [], ...scenario }], { ...OPTIONS, stages });

  test("come when the real model fills the paced time, or the framework takes too much", () => {
    expect(about({})).toEqual([]);
    const [busy = ""] = about({ runs: [madeRun({ busyMs: 100, computeMs: 75 })] });
    expect(busy).toMatch(/^stages like jetson-like, links 1ms\/150mbit: the real model took 75 %/);
    const [slow = ""] = about({ profiles: SCENARIO.profiles });
    expect(slow).toMatch(/framework takes 6\.0 % .* flowspec/);
  });

  test("come when real stages share cores", () => {
    expect(about({ device: "real" }, 1000).join()).toMatch(
      /1000 stages, the drafter and the bench share \d+ cores/,
    );
  });
});

describe("plots", () => {
  test("are rates, ratios to plain decoding and the baseline, and a time line for each temperature", async () => {
    const plots = await renderPlots(RESULT);
    expect(plots.map(({ name }) => name)).toEqual([
      "rates.svg",
      "ratios-autoregressive.svg",
      "ratios-naive.svg",
      "time-line-jetson-like-1ms-150mbit-t0.svg",
    ]);
    for (const { svg } of plots) expect(elementsOf(svg).get("svg")).toBe(1);
    expect(plots[2]?.svg).toContain("Speed as a ratio to naive");
    expect(plots[2]?.svg).toContain(">2.50<");
  });

  test("have names that are no paths, whatever device and policy are called", async () => {
    const scenario = { ...SCENARIO, device: "/some where/slow.json", link: "none" };
    const plots = await renderPlots({
      ...RESULT,
      baseline: "flowspec:total=8,topK=2*",
      scenarios: [scenario],
    });
    expect(plots.slice(2).map(({ name }) => name)).toEqual([
      "ratios-flowspec-total-8-topK-2-tuned.svg",
      "time-line-slow-none-t0.svg",
    ]);
  });
});
