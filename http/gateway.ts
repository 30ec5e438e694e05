import type { LivePort } from "../actors/live-port.ts";
import type { Clock } from "../actors/runtime/clock.ts";
import type { Log } from "../actors/runtime/log.ts";
import type { SessionPort } from "../actors/session-port.ts";
import type { AdmissionQueue } from "./admission-queue.ts";
import type { KeyRing } from "./api-keys.ts";
import type { GatewayMetrics } from "./metrics.ts";
import type { Page } from "./page.ts";
import type { TextPort } from "./text-port.ts";

/** What the routes work with; the composition root fills it in. */
export interface Gateway {
  readonly sessions: SessionPort;
  readonly queue: AdmissionQueue;
  readonly text: TextPort;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly live: LivePort;
  readonly page: Page;
  readonly keys: KeyRing;
  /** Of pages on other hosts that may use the API from a browser; mostly none. */
  readonly allowedOrigins: readonly string[];
}

/** What the HTTP server lends a request. */
interface ServerBindings {
  /** Lifts the server's idle timeout from this request: an answer may take its time. Absent in tests. */
  readonly keepOpen?: () => void;
  /** Where the client is; absent in tests. */
  readonly address?: string;
}

export type GatewayEnv = {
  Bindings: ServerBindings;
  Variables: {
    requestId: string;
    /** Whose key it came with; absent where there are no keys. */
    keyHash: string | undefined;
    /** Counts tokens to the client's key; absent where there are no keys. */
    charge: ((tokens: number) => void) | undefined;
  };
};
