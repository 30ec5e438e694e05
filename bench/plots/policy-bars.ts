import { type ChartPanel, COLOURS, renderChart } from "./chart.ts";

/** One bar with whiskers: a policy on one device and link at one temperature. */
export interface PolicyBar {
  readonly policy: string;
  readonly scenario: string;
  readonly temperature: number;
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
}

export interface BarsOptions {
  readonly title: string;
  readonly subtitle: string;
  /** Title of the axis, with its unit. */
  readonly axis: string;
  /** Behind the point, of the value that stands at each bar. */
  readonly digits: number;
  /** Where a line stands to compare with, e.g. at ratio 1. */
  readonly ruleAt?: number;
}

const PANEL_PX = 330;
const BAR_PX = 24;
/** Space behind the longest whisker for the value in figures, as a share of the axis. */
const VALUE_ROOM = 0.14;

/** Horizontal bars with whiskers: a row of panels for each scenario, a column for each temperature. */
export function renderPolicyBars(bars: readonly PolicyBar[], options: BarsOptions): Promise<string> {
  const scenarios = [...Map.groupBy(bars, ({ scenario }) => scenario)];
  return renderChart({
    title: { text: options.title, subtitle: options.subtitle },
    vconcat: scenarios.map(([scenario, own]) => row(scenario, own, options)),
    spacing: 20,
  });
}

function row(scenario: string, bars: readonly PolicyBar[], options: BarsOptions): ChartPanel {
  const end = Math.max(...bars.map(({ upper }) => upper), options.ruleAt ?? 0) * (1 + VALUE_ROOM);
  const y = { field: "policy", type: "nominal" as const, sort: null, axis: { title: null, grid: false } };
  const x = (field: string) => ({
    field,
    type: "quantitative" as const,
    axis: { title: options.axis },
    scale: { domain: [0, end], nice: false },
  });
  const whisker = (field: string): ChartPanel => ({
    mark: { type: "tick", size: 8, thickness: 1.5, color: COLOURS.black },
    encoding: { y, x: x(field) },
  });
  const rule: ChartPanel = {
    mark: { type: "rule", color: COLOURS.vermilion, strokeDash: [4, 3] },
    encoding: { x: { datum: options.ruleAt ?? 0 } },
  };
  const values = bars.map((bar) => ({
    ...bar,
    text: bar.value.toFixed(options.digits),
    panel: `temperature ${bar.temperature}`,
  }));
  const layer = [
    {
      mark: { type: "bar" as const, color: COLOURS.sky, height: { band: 0.7 } },
      encoding: { y, x: x("value") },
    },
    ...(options.ruleAt === undefined ? [] : [rule]),
    {
      mark: { type: "rule" as const, strokeWidth: 1.5 },
      encoding: { y, x: x("lower"), x2: { field: "upper" } },
    },
    whisker("lower"),
    whisker("upper"),
    {
      mark: { type: "text" as const, align: "left" as const, dx: 5, fontSize: 10 },
      encoding: { y, x: x("upper"), text: { field: "text", type: "nominal" as const } },
    },
  ];
  return {
    title: { text: scenario, fontSize: 12, offset: 4 },
    data: { values },
    facet: { column: { field: "panel", type: "nominal", header: { labelFontWeight: "normal" } } },
    spec: { width: PANEL_PX, height: { step: BAR_PX }, layer },
  } as ChartPanel;
}
