import type { Context } from "hono";
import { LIVE_NAME, type LiveEvent, LiveLimitError } from "../../actors/live-port.ts";
import { coarseClock } from "../../actors/runtime/clock.ts";
import { ApiError, invalidRequest } from "../errors.ts";
import { eventStream } from "../event-stream.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { LiveBatches } from "../live-batches.ts";

const TOO_MANY_RETRY_SECONDS = 5;

/**
 * GET /live?name=…: an event stream of JSON arrays of LiveEvents, of the sessions that are opened with this
 * name in `flowmesh.live`. There is no way to ask for the sessions of others.
 */
export const live =
  (gateway: Gateway) =>
  (c: Context<GatewayEnv>): Response => {
    const name = c.req.query("name") ?? "";
    if (!LIVE_NAME.test(name)) {
      throw invalidRequest(
        "name must be 16 to 64 letters, digits, - or _, made up at random: the one that requests to be " +
          "watched give in flowmesh.live",
        "name",
      );
    }
    const batches = new LiveBatches(coarseClock);
    const watch = startWatch(gateway, name, batches);
    c.env?.keepOpen?.();
    const stop = (): void => {
      watch.stop();
      batches.end();
    };
    c.req.raw.signal.addEventListener("abort", stop, { once: true });
    return eventStream(c, {
      clock: gateway.clock,
      onGone: stop,
      async produce(send) {
        // Tells the client that it is heard from now on, before anything happens.
        await send("[]");
        for await (const batch of batches) await send(batch);
        stop();
      },
    });
  };

function startWatch({ live }: Gateway, name: string, batches: LiveBatches) {
  try {
    return live.watch(name, {
      tell: (event: LiveEvent) => batches.push(event),
      end: () => batches.end(),
    });
  } catch (error) {
    if (!(error instanceof LiveLimitError)) throw error;
    throw new ApiError(503, error.message, {
      code: "too_many_watchers",
      retryAfterSeconds: TOO_MANY_RETRY_SECONDS,
    });
  }
}
