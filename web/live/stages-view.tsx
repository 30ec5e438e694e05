import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import type { LiveActor, MeshEvent } from "../../actors/live-port.ts";
import type { SessionView, ViewSegment } from "./session-view.ts";

const LANES = 3;
const LANE_PX = 24;

/** The stages in a row, and the segments that move through them. */
export function StagesView({
  mesh,
  view,
}: {
  readonly mesh: MeshEvent | undefined;
  readonly view: SessionView | undefined;
}): VNode {
  const stages = (mesh?.actors ?? []).filter((actor) => actor.stage !== undefined);
  if (stages.length === 0) return <p class="hint">Looking for the stages…</p>;
  return (
    <div class="stages" style={{ "--stages": stages.length }}>
      <ol class="stage-list" aria-label="Stages">
        {stages.map((actor) => (
          <Stage key={actor.name} actor={actor} count={stages.length} view={view} />
        ))}
      </ol>
      <Segments view={view} count={stages.length} />
    </div>
  );
}

interface StageProps {
  readonly actor: LiveActor;
  readonly count: number;
  readonly view: SessionView | undefined;
}

function Stage({ actor, count, view }: StageProps): VNode {
  const { stage = 0, layers, host, pid, costs } = actor;
  const busy = view === undefined || view.ended ? 0 : view.busyShare(stage);
  const one = costs?.[0];
  const title = `${actor.name}: layers ${layers} on ${host}, process ${pid}`;
  return (
    <li class="stage" title={one ? `${title}; ${one.ms.toFixed(1)} ms a node` : title}>
      <strong>{stage === count - 1 ? "verifier" : `stage ${stage}`}</strong>
      <span class="detail">
        <span class="word">layers</span> {layers?.replace("-", "–")}
      </span>
      <span class="detail host">
        {host} · {pid}
      </span>
      <span class="busy">
        <span class="busy-share" style={{ transform: `scaleX(${busy.toFixed(2)})` }} />
      </span>
      <span class="visually-hidden">busy {Math.round(busy * 100)} %</span>
    </li>
  );
}

/** Each keeps its lane from the first stage to the last. */
function Segments({
  view,
  count,
}: {
  readonly view: SessionView | undefined;
  readonly count: number;
}): VNode {
  const lanes = useRef(new Map<string, number>());
  const segments = [...(view?.segments.values() ?? [])];
  const kept = new Map<string, number>();
  for (const { key } of segments) {
    const lane = lanes.current.get(key);
    if (lane !== undefined) kept.set(key, lane);
  }
  for (const { key, stage } of segments) {
    if (kept.has(key)) continue;
    const taken = new Set(
      segments.filter((each) => Math.abs(each.stage - stage) < 2).map((each) => kept.get(each.key)),
    );
    const free = Array.from({ length: LANES }, (_, lane) => lane).find((lane) => !taken.has(lane));
    kept.set(key, free ?? 0);
  }
  lanes.current = kept;
  const underWay = segments.filter(({ stage }) => stage < count).length;
  return (
    <ol
      class="segments"
      aria-label={`Segments under way: ${underWay}`}
      style={{ height: `${LANES * LANE_PX}px` }}
      data-under-way={underWay}
    >
      {segments.map((segment) => (
        <Segment key={segment.key} segment={segment} count={count} lane={kept.get(segment.key) ?? 0} />
      ))}
    </ol>
  );
}

interface SegmentProps {
  readonly segment: ViewSegment;
  readonly count: number;
  readonly lane: number;
}

function Segment({ segment, count, lane }: SegmentProps): VNode {
  const { number, prompt, count: nodes, computed, stage } = segment;
  const isDone = stage >= count;
  return (
    <li
      class="segment"
      data-stage={stage}
      data-kind={prompt ? "prompt" : isDone ? "done" : "draft"}
      style={{ transform: `translate(${Math.min(stage, count - 1) * 100}%, ${lane * LANE_PX}px)` }}
    >
      <span>
        {prompt ? "prompt" : `#${number}`} <b>×{computed === nodes ? nodes : `${computed}/${nodes}`}</b>
      </span>
    </li>
  );
}
