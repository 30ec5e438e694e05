import { join } from "node:path";
import type { Subprocess } from "bun";
import type { FarTask, NearResult, NearTask } from "./end-tasks.ts";

/** What to put before a command so that it runs in the right place; nothing for this machine as it is. */
export type Prefix = readonly string[];

const NEAR_END = join(import.meta.dir, "near-end.ts");
const FAR_END = join(import.meta.dir, "far-end.ts");

type End = Subprocess<"pipe", "pipe", "inherit">;

function startEnd(prefix: Prefix, script: string, task: FarTask | NearTask): End {
  return Bun.spawn([...prefix, process.execPath, script, JSON.stringify(task)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
}

export interface FarEnd {
  /** Where a TCP end listens; 0 over NATS. */
  readonly port: number;
  stop(): Promise<void>;
}

export async function startFarEnd(prefix: Prefix, task: FarTask): Promise<FarEnd> {
  const end = startEnd(prefix, FAR_END, task);
  const { value } = await end.stdout.getReader().read();
  const port = /^ready (\d+)/.exec(new TextDecoder().decode(value))?.[1];
  if (port === undefined) {
    end.kill("SIGKILL");
    throw new Error("the far end of the hop measurement did not start (see above)");
  }
  return {
    port: Number(port),
    async stop() {
      await end.stdin.end();
      await end.exited;
    },
  };
}

/** Resolves when everything is measured. */
export async function runNearEnd(prefix: Prefix, task: NearTask): Promise<NearResult[]> {
  const end = startEnd(prefix, NEAR_END, task);
  const text = await new Response(end.stdout).text();
  if ((await end.exited) !== 0) throw new Error("the near end of the hop measurement failed (see above)");
  return JSON.parse(text) as NearResult[];
}
