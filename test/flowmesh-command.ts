import { join } from "node:path";

const MAIN = join(import.meta.dir, "../cli/main.ts");

export interface EndedCommand {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs `flowmesh` in a process of its own, in `env` or this process's environment, until it ends. `input`: what it reads. */
export async function runFlowmesh(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
  input?: string,
): Promise<EndedCommand> {
  const child = Bun.spawn([process.execPath, MAIN, ...args], {
    env: { ...env },
    stdin: input === undefined ? "ignore" : new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output, errors };
}
