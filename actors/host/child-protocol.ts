import type { LogLevel } from "../runtime/log.ts";

/** What parent and child say over the IPC channel of one child process. All values are plain JSON. */
export type ToChild =
  /** Sent once, as the first message. */
  | { readonly kind: "start"; readonly spec: unknown }
  /** What `ChildWork.tell` takes; only after the child is ready. */
  | { readonly kind: "tell"; readonly body: unknown }
  /** To be answered by `pong`: shows a process that is stopped or stuck. */
  | { readonly kind: "ping" }
  | { readonly kind: "stop" };

export type FromChild =
  | { readonly kind: "ready"; readonly payload: unknown }
  | { readonly kind: "pong" }
  /** It cannot start or go on, for a reason that a person can read; it exits right after. */
  | { readonly kind: "failed"; readonly reason: string }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
