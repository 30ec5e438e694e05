import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { Clock } from "../actors/runtime/clock.ts";
import type { GatewayEnv } from "./gateway.ts";

/** Proxies and browsers drop a connection that is silent for long; a comment is not seen by any client. */
export const KEEP_ALIVE_MS = 15_000;

/** A client that reads nothing for this long, with text waiting for it, is given up. */
export const STALLED_CLIENT_MS = 60_000;

export interface EventStreamOptions {
  readonly clock: Clock;
  /** The client left or stalled; what is sent from now on is lost. */
  onGone(reason: string): void;
  /** Resolves once the client's side has room again. */
  produce(send: (data: string) => Promise<void>): Promise<void>;
}

/** A server-sent event stream that ends when `produce` does, with comments to keep the connection alive. */
export function eventStream(c: Context<GatewayEnv>, options: EventStreamOptions): Response {
  // Tells nginx to pass each event on at once.
  c.header("x-accel-buffering", "no");
  return streamSSE(c, async (stream) => {
    const { clock } = options;
    let sendingSince: number | undefined;
    const tracked = async (writing: Promise<unknown>): Promise<void> => {
      sendingSince = clock.now();
      await writing;
      sendingSince = undefined;
    };
    // Several choices may have something to send at once.
    let lastSent = Promise.resolve();
    const inTurn = (data: string): Promise<void> => {
      lastSent = lastSent.then(() => tracked(stream.writeSSE({ data })));
      return lastSent;
    };
    const tick = (): void => {
      if (sendingSince === undefined) {
        tracked(stream.write(": keep-alive\n\n")).catch(() => stream.abort());
      } else if (clock.now() - sendingSince >= STALLED_CLIENT_MS) {
        stream.abort();
        return;
      }
      stopTimer = clock.setTimer(KEEP_ALIVE_MS, tick);
    };
    let stopTimer = clock.setTimer(KEEP_ALIVE_MS, tick);
    stream.onAbort(() => options.onGone("the client left the stream"));
    try {
      await options.produce(inTurn);
    } finally {
      stopTimer();
    }
  });
}
