import type { VNode } from "preact";
import type { MeshEvent } from "../../actors/live-port.ts";
import { useStore } from "../store.ts";
import { Figures } from "./figures.tsx";
import type { LiveConnection } from "./live-connection.ts";
import { type Player, SPEEDS, usePlayer } from "./player.ts";
import type { SessionView } from "./session-view.ts";
import { StagesView } from "./stages-view.tsx";
import { TokenRibbon } from "./token-ribbon.tsx";
import { TreeView } from "./tree-view.tsx";

/** What happens in the mesh while an answer is written. */
export function PipelinePanel({ live }: { readonly live: LiveConnection }): VNode {
  const { mesh, current, trouble } = useStore(live.state);
  const player = usePlayer(current);
  const { view } = player;
  return (
    <aside class="pipeline" aria-labelledby="pipeline-title">
      <div class="panel-head">
        <h2 id="pipeline-title">Pipeline</h2>
        <span class="policy">{view && `${view.policy ?? "default policy"}${stateOf(view, player)}`}</span>
      </div>
      {trouble && <p class="trouble">{trouble}</p>}
      <Figures view={view} />
      <StagesView mesh={mesh} view={view} />
      <TreeView view={view} />
      <Legend />
      {current && <PlayerControls player={player} />}
      <TokenRibbon view={view} />
      <Others mesh={mesh} />
    </aside>
  );
}

function stateOf({ ended }: SessionView, { isLive }: Player): string {
  if (!isLive) return ", replay";
  return ended === undefined ? ", live" : "";
}

const LEGEND = [
  ["drafted", "guessed"],
  ["sent", "in the pipeline"],
  ["accepted", "accepted"],
  ["pruned", "pruned"],
] as const;

function Legend(): VNode {
  return (
    <ul class="legend" aria-label="What the tree's nodes mean">
      {LEGEND.map(([state, word]) => (
        <li key={state} data-state={state}>
          {word}
        </li>
      ))}
    </ul>
  );
}

/** Of the slider; its end must be a whole number of them, or the end could not be reached. */
const STEP_MS = 10;

function PlayerControls({ player }: { readonly player: Player }): VNode {
  const { atMs, lengthMs, isLive, isRunning, speed } = player;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  return (
    <fieldset class="player">
      <legend class="visually-hidden">Moment shown</legend>
      <button type="button" onClick={isRunning ? player.pause : player.play}>
        {isRunning ? "Pause" : "Replay"}
      </button>
      <input
        type="range"
        aria-label="Time"
        aria-valuetext={`${seconds(atMs)} of ${seconds(lengthMs)}`}
        min={0}
        max={Math.ceil(lengthMs / STEP_MS) * STEP_MS}
        step={STEP_MS}
        value={Math.round(atMs)}
        onInput={({ currentTarget }) => player.seek(Number(currentTarget.value))}
      />
      <select
        aria-label="Speed of the replay"
        value={speed}
        onChange={({ currentTarget }) => player.setSpeed(Number(currentTarget.value))}
      >
        {SPEEDS.map((each) => (
          <option key={each} value={each}>
            {each}×
          </option>
        ))}
      </select>
      <button type="button" aria-pressed={isLive} onClick={player.follow}>
        Live
      </button>
    </fieldset>
  );
}

function Others({ mesh }: { readonly mesh: MeshEvent | undefined }): VNode | null {
  const others = (mesh?.actors ?? []).filter(({ stage }) => stage === undefined);
  if (mesh === undefined || others.length === 0) return null;
  return (
    <p class="others">
      {!mesh.ready && <strong>Not ready: {mesh.reason}. </strong>}
      {mesh.modelId}, {mesh.numerics} numerics. Also here:{" "}
      {others.map(({ name, host, pid }) => `${name} (${host} · ${pid})`).join(", ")}.
    </p>
  );
}
