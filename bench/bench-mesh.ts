import { systemClock } from "../actors/runtime/clock.ts";
import { SessionClient } from "../actors/session-client.ts";
import type { SegmentCosts } from "../decoding/costs.ts";
import { parseCosts } from "../models/cost-table.ts";
import { connectNats } from "../transport/nats.ts";
import type { Transport } from "../transport/transport.ts";
import type { BenchOptions } from "./bench-options.ts";
import type { ActorProcess } from "./mesh-inventory.ts";
import { type RunningMesh, startMesh } from "./running-mesh.ts";

/** A mesh that runs for a measurement, and the ways into it. */
export interface BenchMesh {
  readonly mesh: RunningMesh;
  readonly transport: Transport;
  readonly sessions: SessionClient;
}

const READY_POLL_MS = 100;

/** Arguments of `flowmesh up` for a device and link. */
export function meshArguments(
  { stages, numerics, drafter, draftHead }: BenchOptions,
  device: string,
  link: string,
): string[] {
  const pace = device === "real" ? [] : ["--device", device];
  const shape = link === "none" ? [] : ["--link", link];
  const stage = ["--stages", String(stages), "--numerics", numerics, "--drafter", drafter];
  const head = draftHead === undefined ? [] : ["--draft-head", draftHead];
  return [...stage, ...head, "--report-work", ...pace, ...shape];
}

/** Starts a mesh, hands it to `use`, and stops it whatever happens, also when the signal comes meanwhile. */
export async function withMesh<T>(
  args: readonly string[],
  signal: AbortSignal,
  use: (mesh: BenchMesh) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const mesh = await startMesh(...args);
  try {
    const transport = await connectNats({ url: mesh.natsUrl, name: "bench" });
    const sessions = new SessionClient({ mesh: mesh.mesh, transport, clock: systemClock });
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    try {
      while (!sessions.status().ready) await Promise.race([Bun.sleep(READY_POLL_MS), aborted]);
      return await Promise.race([use({ mesh, transport, sessions }), aborted]);
    } finally {
      signal.removeEventListener("abort", abort);
      sessions.close();
      await transport.close();
    }
  } finally {
    await mesh.stop();
  }
}

/** t(n) of each stage, first to last, as the stages themselves tell it: "1=2.91 2=3.30". */
export function stageCosts(actors: readonly ActorProcess[]): SegmentCosts[] {
  return actors
    .flatMap(({ name, metadata }) => {
      const stage = /^stage-(\d+)$/.exec(name)?.[1];
      if (stage === undefined || metadata.costs_ms === undefined) return [];
      return [{ stage: Number(stage), costs: parseCosts(metadata.costs_ms) }];
    })
    .sort((a, b) => a.stage - b.stage)
    .map(({ costs }) => costs);
}
