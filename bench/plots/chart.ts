import { parse, View, Warn } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** One of several panels below each other. */
export type ChartPanel = Extract<TopLevelSpec, { vconcat: unknown }>["vconcat"][number];

/** Okabe and Ito's palette: told apart also by people who do not see all colours, and in grey print. */
export const COLOURS = {
  blue: "#0072B2",
  orange: "#E69F00",
  sky: "#56B4E9",
  green: "#009E73",
  vermilion: "#D55E00",
  black: "#000000",
  grey: "#8C8C8C",
} as const;

const CONFIG = {
  background: "white",
  font: "DejaVu Sans, Verdana, sans-serif",
  view: { stroke: "#CCCCCC" },
  axis: { labelFontSize: 11, titleFontSize: 12, labelLimit: 320, gridColor: "#E6E6E6" },
  header: { labelFontSize: 12, labelFontWeight: "bold", title: null },
  legend: { labelFontSize: 11, labelLimit: 320, orient: "top", title: null },
  title: { anchor: "start", fontSize: 14, subtitleFontSize: 11, subtitleColor: "#555555", offset: 12 },
} as const;

/** A chart as a whole SVG document. Text widths are estimated, since nothing here can measure fonts. */
export async function renderChart(spec: TopLevelSpec): Promise<string> {
  const { spec: program } = compile({
    ...spec,
    config: CONFIG,
    padding: { left: 8, top: 8, right: 24, bottom: 8 },
  });
  const view = new View(parse(program), { renderer: "none", logLevel: Warn });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}
