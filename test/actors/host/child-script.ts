/** A child for the tests: its spec says how it behaves. */
import { type ChildStart, runChild } from "../../../actors/host/child-entry.ts";

export interface ScriptSpec {
  readonly behaviour:
    | "serve"
    | "refuse"
    | "throw"
    | "never-ready"
    | "ignore-stop"
    | "crash-when-ready"
    | "fail-when-ready";
  /** Handed back in the ready message. */
  readonly echo?: unknown;
  /** Appended to when the child stops in order. */
  readonly stopJournal?: string;
}

class RefusedError extends Error {
  constructor() {
    super("the weights are missing");
    this.name = "RefusedError";
  }
}

const start: ChildStart = async (spec, context) => {
  const { behaviour, echo, stopJournal } = spec as ScriptSpec;
  const forever = new Promise<never>(() => {});
  const keepAlive = setInterval(() => {}, 1_000);
  if (behaviour === "refuse") throw new RefusedError();
  if (behaviour === "throw") throw new TypeError("undefined is not a model");
  if (behaviour === "never-ready") await forever;
  console.log("a line on stdout");
  console.error("a line on stderr");
  context.log.write("info", "a record", { answer: 42, error: new RefusedError() });
  if (behaviour === "crash-when-ready") setTimeout(() => process.exit(7), 50);
  if (behaviour === "fail-when-ready") setTimeout(() => context.fail(new RefusedError()), 50);
  return {
    payload: { echo, pid: process.pid },
    stop: async () => {
      if (behaviour === "ignore-stop") await forever;
      clearInterval(keepAlive);
      if (stopJournal !== undefined) {
        const { appendFileSync } = await import("node:fs");
        appendFileSync(stopJournal, `${String(echo)}\n`);
      }
    },
  };
};

runChild(start);
