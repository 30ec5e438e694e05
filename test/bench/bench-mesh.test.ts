import { describe, expect, test } from "bun:test";
import { meshArguments, stageCosts } from "../../bench/bench-mesh.ts";
import type { BenchOptions } from "../../bench/bench-options.ts";

describe("the arguments of a mesh", () => {
  const options = { stages: 3, numerics: "fast", drafter: "head" } as BenchOptions;
  const always = ["--stages", "3", "--numerics", "fast", "--drafter", "head", "--report-work"];

  test("leave out pace and links where there are none", () => {
    expect(meshArguments(options, "real", "none")).toEqual(always);
  });

  test("name the draft head", () => {
    const args = meshArguments({ ...options, draftHead: "own.json" }, "real", "none");
    expect(args.slice(args.indexOf("--draft-head")).slice(0, 2)).toEqual(["--draft-head", "own.json"]);
  });

  test("name the device and the link", () => {
    expect(meshArguments(options, "./slow.json", "1ms/150mbit")).toEqual([
      ...always,
      ...["--device", "./slow.json", "--link", "1ms/150mbit"],
    ]);
  });
});

test("costs are read as the stages tell them, by stage", () => {
  const actor = (name: string, metadata: Record<string, string>) => ({
    name,
    metadata,
    residentMiB: 1,
    privateMiB: 1,
  });
  const actors = [
    actor("drafter", { pid: "7" }),
    actor("stage-10", { costs_ms: "1=5.00" }),
    actor("stage-2", { costs_ms: "1=2.91 16=3.30", measured_costs_ms: "1=9.00" }),
  ];
  expect(stageCosts(actors)).toEqual([
    [
      { nodes: 1, ms: 2.91 },
      { nodes: 16, ms: 3.3 },
    ],
    [{ nodes: 1, ms: 5 }],
  ]);
});
