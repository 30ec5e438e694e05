import type { KeyValue } from "../../transport/key-value.ts";
import type { Transport } from "../../transport/transport.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";

/** What host agent and coordinator reach the mesh by. */
export interface MeshLink {
  readonly mesh: string;
  readonly transport: Transport;
  readonly store: KeyValue;
  readonly clock: Clock;
  readonly log: Log;
}

/** Calls `turn` again and again, each time `everyMs` after the last call has ended; gives what stops that. */
export function repeat(clock: Clock, everyMs: number, turn: () => Promise<void> | void): () => void {
  let stopped = false;
  let cancel = () => {};
  const next = () => {
    if (!stopped) cancel = clock.setTimer(everyMs, () => void run());
  };
  const run = async () => {
    try {
      await turn();
    } finally {
      next();
    }
  };
  next();
  return () => {
    stopped = true;
    cancel();
  };
}
