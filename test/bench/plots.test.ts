import { describe, expect, test } from "bun:test";
import { renderPolicyBars } from "../../bench/plots/policy-bars.ts";
import { renderTimeLines, type TimeLine } from "../../bench/plots/time-line.ts";
import { elementsOf } from "./well-formed.ts";

const texts = (svg: string): string[] =>
  [...svg.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text]) => text!);

describe("bars", () => {
  const bars = ["a < b & c", "jetson-like"].flatMap((scenario) =>
    [0, 1].flatMap((temperature) =>
      ["autoregressive", "flowspec:total=16,topK=4", "flowspec*"].map((policy, index) => ({
        policy,
        scenario,
        temperature,
        value: index + 1.25,
        lower: index + 1,
        upper: index + 2,
      })),
    ),
  );

  test("are an SVG document with title, axes with units, policies and values", async () => {
    const svg = await renderPolicyBars(bars, {
      title: "Tokens a second",
      subtitle: "medians",
      axis: "tokens/s",
      digits: 2,
      ruleAt: 1,
    });
    expect(elementsOf(svg).get("svg")).toBe(1);
    const shown = texts(svg);
    for (const text of ["Tokens a second", "medians", "tokens/s", "temperature 0", "temperature 1"]) {
      expect(shown).toContain(text);
    }
    expect(shown).toContain("a &lt; b &amp; c");
    expect(shown).toContain("jetson-like");
    expect(shown.filter((text) => text === "flowspec:total=16,topK=4").length).toBe(2);
    expect(shown.filter((text) => text === "2.25").length).toBe(4);
  });
});

describe("a time line", () => {
  const bar = (lane: string, beginMs: number, live: number, dead: number) => ({
    lane,
    beginMs,
    endMs: beginMs + 40,
    live,
    dead,
    label: `n${live + dead}`,
  });
  const line: TimeLine = {
    title: "flowspec",
    lanes: ["stage 0", "stage 1"],
    bars: [
      bar("stage 0", 0, 1, 0),
      bar("stage 1", 50, 1, 3),
      bar("stage 0", 100, 0, 5),
      bar("stage 0", 150, 0, 0),
      bar("stage 0", 400, 7, 0),
    ],
    commitsMs: [0, 95, 500],
  };

  /** Marks of a role, e.g. "rect mark"; Vega names them for screen readers. */
  const marks = (svg: string, role: string): number =>
    [...svg.matchAll(/aria-roledescription="([^"]*)"/g)].filter(([, found]) => found === role).length;

  test("has a lane a stage, a piece for the live and for the dead part of a bar, and a tick a commit", async () => {
    const svg = await renderTimeLines([line], { title: "One answer", subtitle: "seed 1", windowMs: 300 });
    expect(elementsOf(svg).get("svg")).toBe(1);
    const shown = texts(svg);
    for (const text of [
      "One answer",
      "flowspec",
      "stage 0",
      "stage 1",
      "milliseconds after the first token",
    ]) {
      expect(shown).toContain(text);
    }
    // Live 1, live and dead of the second, dead 5; the empty one and the one behind the window are not shown.
    expect(marks(svg, "rect mark")).toBe(4);
    expect(marks(svg, "rule mark")).toBe(2);
    expect(shown.filter((text) => /^n\d/.test(text))).toEqual(["n1", "n4", "n5"]);
  });

  test("shows several answers on one scale", async () => {
    const lines = [line, { ...line, title: "naive" }];
    const svg = await renderTimeLines(lines, { title: "Two", subtitle: "", windowMs: 1000 });
    expect(marks(svg, "rect mark")).toBe(10);
    expect(texts(svg).filter((text) => text === "1,000").length).toBe(2);
    expect(texts(svg).filter((text) => text === "milliseconds after the first token").length).toBe(1);
  });
});
