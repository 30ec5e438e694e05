import { type ChartPanel, COLOURS, renderChart } from "./chart.ts";

/** One piece of work in a lane, e.g. a segment at a stage. Measured and simulated time lines share it. */
export interface LaneBar {
  readonly lane: string;
  readonly beginMs: number;
  readonly endMs: number;
  /** Nodes that were committed in the end, and nodes that were not. */
  readonly live: number;
  readonly dead: number;
  readonly label: string;
}

/** What happened in one answer, from top to bottom in the order of `lanes`. */
export interface TimeLine {
  readonly title: string;
  readonly lanes: readonly string[];
  readonly bars: readonly LaneBar[];
  readonly commitsMs: readonly number[];
}

const WIDTH_PX = 960;
const LANE_PX = 22;
/** A bar's share of its lane's height. */
const BAR_HEIGHT = 0.8;
/** Height of the strip above the lanes that shows commits, in lanes. */
const TICK_STRIP = 0.7;
/** Width of a label's character; a bar that is too narrow for its label has none. */
const CHARACTER_PX = 7;

const PARTS = { live: "live: committed in the end", dead: "dead", commit: "commit" } as const;

/** Part of a bar's height, from lane units. */
interface Piece {
  readonly beginMs: number;
  readonly endMs: number;
  readonly top: number;
  readonly bottom: number;
  readonly part: string;
}

/** A bar's height is split by the shares of its live and dead nodes. */
function piecesOf({ lane, beginMs, endMs, live, dead }: LaneBar, lanes: readonly string[]): Piece[] {
  const nodes = live + dead;
  const top = lanes.indexOf(lane) + (1 - BAR_HEIGHT) / 2;
  const border = top + (BAR_HEIGHT * live) / nodes;
  const pieces = [
    { beginMs, endMs, top, bottom: border, part: PARTS.live },
    { beginMs, endMs, top: border, bottom: top + BAR_HEIGHT, part: PARTS.dead },
  ];
  return pieces.filter((piece) => piece.bottom > piece.top);
}

/**
 * What of the bars and commits lies within the first `windowMs`, cut at its end; a gap parts neighbours, and
 * a bar without nodes is not shown.
 */
function within(line: TimeLine, windowMs: number): TimeLine {
  const gapMs = windowMs / WIDTH_PX;
  const bars = line.bars
    .filter(({ beginMs, endMs, live, dead }) => live + dead > 0 && beginMs < windowMs && endMs > 0)
    .map((bar) => ({
      ...bar,
      beginMs: Math.max(0, bar.beginMs),
      endMs: Math.max(bar.beginMs + gapMs, Math.min(windowMs, bar.endMs) - gapMs),
    }));
  return { ...line, bars, commitsMs: line.commitsMs.filter((atMs) => atMs >= 0 && atMs <= windowMs) };
}

function panel(line: TimeLine, windowMs: number, isLast: boolean): ChartPanel {
  const { lanes, bars, commitsMs, title } = within(line, windowMs);
  const pieces = bars.flatMap((bar) => piecesOf(bar, lanes));
  const x = {
    type: "quantitative" as const,
    scale: { domain: [0, windowMs], nice: false },
    axis: { title: isLast ? "milliseconds after the first token" : null, grid: false },
  };
  const y = {
    type: "quantitative" as const,
    scale: { domain: [-TICK_STRIP, lanes.length], reverse: true, nice: false, zero: false },
    axis: {
      title: null,
      grid: false,
      ticks: false,
      domain: false,
      values: lanes.map((_, index) => index + 0.5),
      labelExpr: `${JSON.stringify(lanes)}[floor(datum.value)]`,
    },
  };
  const colour = {
    field: "part",
    type: "nominal" as const,
    scale: { domain: Object.values(PARTS), range: [COLOURS.sky, COLOURS.orange, COLOURS.black] },
    legend: { symbolType: "square" as const },
  };
  const labels = bars.filter(
    ({ beginMs, endMs, label }) =>
      (endMs - beginMs) * (WIDTH_PX / windowMs) >= (label.length + 1) * CHARACTER_PX,
  );
  return {
    title: { text: title, fontSize: 12, offset: 4 },
    width: WIDTH_PX,
    height: (lanes.length + TICK_STRIP) * LANE_PX,
    layer: [
      {
        data: { values: pieces },
        mark: { type: "rect" },
        encoding: {
          x: { field: "beginMs", ...x },
          x2: { field: "endMs" },
          y: { field: "top", ...y },
          y2: { field: "bottom" },
          color: colour,
        },
      },
      {
        data: {
          values: commitsMs.map((atMs) => ({ atMs, top: -TICK_STRIP, bottom: -0.1, part: PARTS.commit })),
        },
        mark: { type: "rule", strokeWidth: 1.5 },
        encoding: {
          x: { field: "atMs", ...x },
          y: { field: "top", ...y },
          y2: { field: "bottom" },
          color: colour,
        },
      },
      {
        data: {
          values: labels.map((bar) => ({
            ...bar,
            middleMs: (bar.beginMs + bar.endMs) / 2,
            middle: lanes.indexOf(bar.lane) + 0.5,
          })),
        },
        mark: { type: "text", fontSize: 9, baseline: "middle" },
        encoding: {
          x: { field: "middleMs", ...x },
          y: { field: "middle", ...y },
          text: { field: "label" },
        },
      },
    ],
  };
}

/** The first `windowMs` of each time line, one below the other on one scale. */
export function renderTimeLines(
  lines: readonly TimeLine[],
  {
    title,
    subtitle,
    windowMs,
  }: { readonly title: string; readonly subtitle: string; readonly windowMs: number },
): Promise<string> {
  return renderChart({
    title: { text: title, subtitle },
    vconcat: lines.map((line, index) => panel(line, windowMs, index === lines.length - 1)),
    resolve: { scale: { color: "shared" } },
    spacing: 12,
  });
}
