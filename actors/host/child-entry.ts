import type { Log } from "../runtime/log.ts";
import { followParent } from "./child-lifeline.ts";
import type { FromChild, ToChild } from "./child-protocol.ts";
import { describeError } from "./expected-error.ts";

/** What runs inside a child, as its entry sees it. */
export interface ChildWork {
  stop(): Promise<void>;
  /** Told to the parent with the ready message; plain JSON. */
  readonly payload?: unknown;
  /** Takes what the parent says later; plain JSON. */
  tell?(body: unknown): void;
}

export interface ChildContext {
  /** Writes into the parent's log. */
  readonly log: Log;
  /** Reports `error` to the parent and ends the process; its supervisor decides what follows. */
  fail(error: Error): void;
}

export type ChildStart = (spec: unknown, context: ChildContext) => Promise<ChildWork>;

/** Runs this process as a child: starts what the parent asks for, and stops it when asked. */
export function runChild(start: ChildStart): void {
  followParent();
  const context: ChildContext = {
    log: {
      write: (level, message, fields = {}) =>
        void send({ kind: "log", level, message, fields: withoutErrors(fields) }),
    },
    fail: (error) => void endWith(error),
  };
  let work: Promise<ChildWork> | undefined;
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    try {
      await (await work)?.stop();
      process.exit(0);
    } catch (error) {
      await endWith(error);
    }
  };
  process.on("message", (message: ToChild) => {
    if (message.kind === "stop") {
      void stop();
      return;
    }
    if (message.kind === "ping") {
      void send({ kind: "pong" });
      return;
    }
    if (message.kind === "tell") {
      work?.then((running) => running.tell?.(message.body)).catch(endWith);
      return;
    }
    work = start(message.spec, context);
    work.then(({ payload }) => send({ kind: "ready", payload: payload ?? null })).catch(endWith);
  });
  process.on("SIGTERM", () => void stop());
}

/** An Error would cross the channel as an empty object. */
function withoutErrors(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(fields);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value instanceof Error ? describeError(value) : value]),
  );
}

async function endWith(error: unknown): Promise<void> {
  await send({ kind: "failed", reason: describeError(error) });
  process.exit(1);
}

/** Resolves when the message is on its way; a parent that is gone ends this process anyway. */
function send(message: FromChild): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, undefined, undefined, () => resolve());
  });
}
