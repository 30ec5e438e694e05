/**
 * Installs the locked dependencies; run by the start script, so it uses nothing outside bun.
 * Two starts at the same time must not install into one folder together: an SQLite transaction is the
 * lock, because the operating system frees it when its holder dies, however it dies.
 */
import { Database } from "bun:sqlite";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LOCK_WAIT_MS = 10 * 60_000;

/** `wanted` names the state of package.json and bun.lock; a stamp with that name means nothing to do. */
async function installDependencies(root: string, wanted: string): Promise<number> {
  const folder = join(root, "node_modules");
  const stamp = join(folder, ".flowmesh-installed");
  mkdirSync(folder, { recursive: true });
  const lock = new Database(join(folder, ".flowmesh-install-lock"));
  try {
    lock.run(`PRAGMA busy_timeout = ${LOCK_WAIT_MS}`);
    lock.run("BEGIN EXCLUSIVE");
    if (readStamp(stamp) === wanted) return 0;
    const code = await runBunInstall(root);
    if (code === 0) writeFileSync(stamp, wanted);
    return code;
  } finally {
    lock.close();
  }
}

async function runBunInstall(root: string): Promise<number> {
  process.stderr.write("flowmesh: installing locked dependencies…\n");
  const install = Bun.spawn([process.execPath, "install", "--frozen-lockfile"], {
    cwd: root,
    // The processor's library is inside onnxruntime-node; without this its script fetches CUDA ones.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(install.stdout).text(),
    new Response(install.stderr).text(),
    install.exited,
  ]);
  if (code !== 0) {
    process.stderr.write(
      `${output}${errors}flowmesh: bun install failed with exit code ${code} (see above).\n`,
    );
  }
  return code;
}

function readStamp(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

process.exit(await installDependencies(join(import.meta.dir, ".."), process.argv[2] ?? ""));
