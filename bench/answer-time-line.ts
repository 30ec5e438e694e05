import type { TimeLine } from "./plots/time-line.ts";
import { liveCounter, type SessionRecord } from "./session-record.ts";
import { decodeWindow } from "./session-run.ts";

/** What the stages did while one answer was decoded; time 0 is the first commit. */
export function answerTimeLine(title: string, record: SessionRecord, stageCount: number): TimeLine {
  const { beginMs: zeroMs, endMs: lastMs } = decodeWindow(record);
  const liveNodes = liveCounter(record);
  const lanes = Array.from({ length: stageCount }, (_, stage) => `stage ${stage}`);
  const bars = record.work
    .filter(({ nodes, beginMs, endMs }) => nodes.length > 0 && endMs > zeroMs && beginMs < lastMs)
    .map((work) => {
      const { stage, nodes, beginMs, endMs } = work;
      const live = liveNodes(work);
      return {
        lane: `stage ${stage}`,
        beginMs: beginMs - zeroMs,
        endMs: endMs - zeroMs,
        live,
        dead: nodes.length - live,
        label: String(nodes.length),
      };
    });
  return { title, lanes, bars, commitsMs: record.commits.map(({ atMs }) => atMs - zeroMs) };
}
