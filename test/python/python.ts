import { join } from "node:path";
import { defaultCacheRoot } from "../../cli/cache-root.ts";
import { providePythonEnvironment } from "../../models/provision/python-environment.ts";

/** The oldest that the locked packages take. */
const LEAST_PYTHON = [3, 11] as const;
const ENVIRONMENT_BYTES = 3e8;

export interface EndedPython {
  readonly code: number;
  /** What it wrote, errors included. */
  readonly output: string;
}

/** The interpreter that has the packages of `requirements.lock`, in the user's ordinary cache: made once for all tests. */
export async function testPython(): Promise<string> {
  const { python } = await providePythonEnvironment({
    what: "the tests' Python part",
    lockFile: join(import.meta.dir, "requirements.lock"),
    leastPython: LEAST_PYTHON,
    bytesNeeded: ENVIRONMENT_BYTES,
    cacheRoot: defaultCacheRoot(process.env),
  });
  return python;
}

/** Runs it to its end, in `folder` with nothing but the locked packages; kills it after `limitMs`. */
export async function runPython(
  args: readonly string[],
  { folder, env = {}, limitMs }: { folder: string; env?: Record<string, string>; limitMs: number },
): Promise<EndedPython> {
  const child = Bun.spawn([await testPython(), "-P", "-s", ...args], {
    cwd: folder,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, output: `${output}${errors}` };
}
