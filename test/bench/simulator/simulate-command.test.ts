import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeTrace } from "../../../bench/acceptance-trace.ts";
import { playScenario } from "../../../bench/simulator/scenario.ts";
import { renderOverview, renderSimulation } from "../../../bench/simulator/simulation-report.ts";
import { SYNTHETIC_DRAFTERS, syntheticSessions } from "../../../bench/simulator/synthetic-trace.ts";
import { tuningGrid } from "../../../bench/tuning-grid.ts";
import { POLICIES, parsePolicy } from "../../../decoding/policies/registry.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-simulate-"));
});
afterAll(() => rm(folder, { recursive: true }));

function simulate(...args: string[]) {
  const main = join(import.meta.dir, "../../../cli/main.ts");
  const result = Bun.spawnSync([process.execPath, main, "simulate", ...args]);
  return { code: result.exitCode, out: result.stdout.toString(), errors: result.stderr.toString() };
}

const cellsOf = (line: string) => line.split("|").map((cell) => cell.trim());

describe("flowmesh simulate", () => {
  test("shows a table a pipeline, plain decoding first, and writes the results", async () => {
    const out = join(folder, "result.json");
    const shown = simulate(
      ...["--count", "3", "--tokens", "12", "--policies", "flowspec:total=8", "--stages", "1,3"],
      ...["--links", "none", "--out", out],
    );
    expect(shown).toMatchObject({ code: 0, errors: "" });
    const headings = shown.out.split("\n").filter((line) => line.startsWith("###"));
    expect(headings).toEqual([
      "### 1 × cpu-fast, links none",
      "### 3 × cpu-fast, links none",
      "### Overview, × autoregressive",
    ]);
    const plain = shown.out.split("\n").filter((line) => line.startsWith("| autoregressive"));
    // 3 × 24 ms, and 0.7 ms for each of four messages: 1000 / 74.8.
    expect(cellsOf(plain[1] ?? "").slice(1, 6)).toEqual(["autoregressive", "13.4", "1.00", "1.00", "1.00"]);
    const { scenarios } = await Bun.file(out).json();
    expect(scenarios.map(({ stages }: { stages: number }) => stages)).toEqual([1, 3]);
    expect(scenarios[0].rows.map(({ label }: { label: string }) => label)).toEqual([
      "autoregressive",
      "flowspec:total=8",
    ]);
    expect(await readdir(folder)).toEqual(["result.json"]);
  });

  test("plays the sessions of a trace that have the wanted temperature, and says so when there is none", async () => {
    const trace = join(folder, "some.jsonl.gz");
    const session = { prompt: "p", kind: "code", temperature: 1, promptTokens: 4, tokens: [5, 6, 7] };
    const none = { parents: [], tokens: [], scores: [] };
    await writeTrace(trace, {
      header: { format: "flowmesh acceptance trace 1", model: "m", drafter: "d", date: "2026-01-01" },
      sessions: [{ ...session, trees: [none, none, none] }],
    });
    const found = simulate("--trace", trace, "--temperatures", "1", "--policies", "naive");
    expect(found).toMatchObject({ code: 0, errors: "" });
    expect(found.out).toContain("| naive | ");
    const missing = simulate("--trace", trace);
    expect(missing).toMatchObject({ code: 2, out: "" });
    expect(missing.errors).toContain("no session at temperature 0; it has: 1.");
  });

  test("a file that is no trace, and a device that is not known, end with one message", () => {
    const trace = simulate("--trace", join(folder, "nothing.gz"));
    expect(trace.code).not.toBe(0);
    expect(trace.errors).toContain("there is no such file");
    const device = simulate("--devices", "abacus");
    expect(device).toMatchObject({ code: 2, out: "" });
    expect(device.errors).toContain("cpu-fast");
  });
});

describe("tuning", () => {
  const sessions = syntheticSessions({
    drafter: SYNTHETIC_DRAFTERS.average,
    sessions: 2,
    tokens: 12,
    seed: 3,
  });
  const scenario = {
    sessions,
    stages: 2,
    costs: [
      { nodes: 1, ms: 10 },
      { nodes: 2, ms: 16 },
    ],
    link: { delayMs: 1 },
    concurrent: 1,
    maxTokens: 12,
  };

  test("every setting of every grid is one that its policy takes", () => {
    for (const name of POLICIES.keys()) {
      for (const spec of tuningGrid(name) ?? []) expect(parsePolicy(spec).definition.name).toBe(name);
    }
    expect(tuningGrid("autoregressive")).toBeUndefined();
  });

  test("shows the best setting beside the default, and what it is", () => {
    const rows = playScenario({ ...scenario, policies: ["pipedec"], tune: true });
    expect(rows.map(({ label }) => label)).toEqual(["autoregressive", "pipedec", "pipedec*"]);
    const [, plain, tuned] = rows;
    const rates = (tuningGrid("pipedec") ?? []).map((policy) => {
      const [, row] = playScenario({ ...scenario, policies: [policy], tune: false });
      return row!.result.tokensPerSecond;
    });
    expect(tuned!.result.tokensPerSecond).toBe(Math.max(plain!.result.tokensPerSecond, ...rates));
    const report = renderSimulation({ device: "toy", link: "1ms", stages: 2, rows });
    const overview = cellsOf(
      renderOverview([{ device: "toy", link: "1ms", stages: 2, rows }])
        .split("\n")
        .at(-1)!,
    );
    const ratio =
      tuned!.result.tokensPerSecond / Math.max(...rows.slice(0, 2).map((row) => row.result.tokensPerSecond));
    expect(overview.slice(1, -1).at(0)).toBe("2 × toy, 1ms");
    expect(overview.slice(1, -1).at(-1)).toBe(ratio.toFixed(3));
    expect(report).toStartWith("### 2 × toy, links 1ms\n");
    expect(report).toEndWith(`- pipedec* is ${tuned!.result.policy}`);
  });
});
