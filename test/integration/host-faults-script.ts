/**
 * Kills one process after the other in the middle of streams and says what clients see of it:
 *
 *   bun test/integration/host-faults-script.ts [times each role] [times nats-server and a host]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { descendants, type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { killProcess, type RunningNode, stageHosts, startNode, stream, until } from "./mesh-nodes.ts";

const QUESTION = "What is a pipeline?";
const MAX_TOKENS = 120;
const DISTURBED_AFTER = 10;
const SETTLE_MS = 120_000;

const [timesEach = 20, timesLong = 5] = process.argv.slice(2).map(Number);

interface Outcome {
  readonly failed: number;
  readonly wrong: number;
  readonly pausesMs: readonly number[];
}

const folder = await mkdtemp(join(tmpdir(), "flowmesh-faults-"));
const mesh: RunningMesh = await startMesh("--no-stages");
const nodes: RunningNode[] = [];
const joinAs = (name: string) => {
  const node = startNode(mesh, folder, name);
  nodes.push(node);
  return node;
};

const settled = () =>
  until(
    mesh,
    (now) =>
      now.short === undefined &&
      stageHosts(now).length === 2 &&
      now.actors.every(({ state }) => state === "active"),
    SETTLE_MS,
  );

async function repeat(times: number, expected: string, fault: () => Promise<() => void>): Promise<Outcome> {
  let [failed, wrong] = [0, 0];
  const pausesMs: number[] = [];
  for (let i = 0; i < times; i++) {
    await settled();
    const strike = await fault();
    const answer = await stream(mesh, QUESTION, {
      maxTokens: MAX_TOKENS,
      onEvent: (count) => {
        if (count === DISTURBED_AFTER) strike();
      },
    });
    if (answer.error !== undefined || answer.finish === undefined) failed++;
    else if (answer.text !== expected) wrong++;
    pausesMs.push(answer.longestPauseMs);
  }
  return { failed, wrong, pausesMs };
}

const quantile = (values: readonly number[], share: number): string => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return (at / 1000).toFixed(2);
};

function show(what: string, { failed, wrong, pausesMs }: Outcome): void {
  const [p50, p99] = [quantile(pausesMs, 0.5), quantile(pausesMs, 0.99)];
  process.stdout.write(`| ${what} | ${pausesMs.length} | ${failed} | ${wrong} | ${p50} | ${p99} |\n`);
}

const pidOf = async (role: string): Promise<number> =>
  (await settled()).actors.find((actor) => actor.role === role)?.pid ?? 0;

try {
  joinAs("a");
  await until(mesh, (now) => stageHosts(now).length === 1, SETTLE_MS);
  let other = joinAs("b");
  await settled();
  const expected = (await stream(mesh, QUESTION, { maxTokens: MAX_TOKENS })).text;
  process.stdout.write("| killed | times | failed | other text | pause p50 s | p99 s |\n|-|-|-|-|-|-|\n");
  show("nothing", await repeat(timesEach, expected, async () => () => {}));
  for (const role of ["stage", "drafter", "tree"]) {
    const kill = async () => {
      const pid = await pidOf(role);
      return () => void killProcess(pid);
    };
    show(role, await repeat(timesEach, expected, kill));
  }
  const killServer = async () => {
    const isServer = (pid: number) =>
      Bun.spawnSync(["ps", "-o", "comm=", "-p", String(pid)])
        .stdout.toString()
        .trim() === "nats-server";
    const pid = (await descendants(mesh.pid)).find(isServer) ?? 0;
    return () => void killProcess(pid);
  };
  show("nats-server", await repeat(timesLong, expected, killServer));
  const killHost = async () => {
    if ((await Promise.race([other.exited, Bun.sleep(0)])) !== undefined) {
      other = joinAs("b");
      await settled();
    }
    return () => {
      other.signal("SIGKILL");
      // It comes back as a machine does that was switched off and on.
      void other.exited.then(() => {
        other = joinAs("b");
      });
    };
  };
  show("host", await repeat(timesLong, expected, killHost));
} finally {
  for (const node of nodes) node.signal("SIGKILL");
  await mesh.stop();
  await rm(folder, { recursive: true, force: true });
}
