/**
 * Kills or stops one process after the other in the middle of streams and says what clients see of it:
 *
 *   bun test/integration/host-faults-script.ts [times] [fault …]
 */

import { HostMesh } from "./host-mesh.ts";
import { killProcess, type RunningNode, stream } from "./mesh-nodes.ts";

const QUESTION = "What is a pipeline?";
const MAX_TOKENS = 120;
const DISTURBED_AFTER = 10;
/** Slower than this machine, so that its hosts are alike whatever else it does. */
const LAYER_MS = 1;
const LINK = { delayMs: 2, mbps: 150 };
/** Past the lease, and past the time after which a silent host is dead. */
const STOPPED_MS = 6000;
/** How long a client whose connection broke asks again. */
const ASK_AGAIN_MS = 60_000;
const STAGES = 2;

interface Fault {
  readonly does: string;
  /** Gives what is to be done in the middle of the next stream. */
  prepare(round: number): Promise<() => void>;
  /** The client's own connection breaks: it asks again. */
  readonly breaks?: boolean;
}

interface Outcome {
  failed: number;
  wrong: number;
  readonly pausesMs: number[];
}

const mesh = await HostMesh.open(LINK);
const join = (name: string) => mesh.join(name, LAYER_MS);
const settled = () => mesh.settled(STAGES);

async function processOf(role: string, round: number): Promise<number> {
  const actors = (await settled()).actors.filter((actor) => actor.role === role);
  const actor = actors[round % actors.length];
  if (actor === undefined) throw new Error(`there is no ${role}`);
  return mesh.processOf(actor);
}

const kill =
  (role: string): Fault["prepare"] =>
  async (round) => {
    const pid = await processOf(role, round);
    return () => killProcess(pid);
  };

/** It comes back as a machine does that was switched off and on. */
const killHost = (name: string): (() => void) => {
  const node = mesh.node(name);
  return () => {
    node.signal("SIGKILL");
    void node.exited.then(() => join(name));
  };
};

/** Stops a process for a while. */
function pause(process_: Pick<RunningNode, "signal">): () => void {
  return () => {
    process_.signal("SIGSTOP");
    setTimeout(() => process_.signal("SIGCONT"), STOPPED_MS);
  };
}

const byPid = (pid: number) => ({ signal: (name: NodeJS.Signals) => void process.kill(pid, name) });

/** A host other than the gateway's is made to lead, by stopping the leading one for a while if need be. */
async function elsewhereLed(): Promise<string> {
  for (;;) {
    await settled();
    const leader = await mesh.leader();
    if (leader !== undefined && mesh.names.includes(leader)) return leader;
    pause(byPid(mesh.mesh.pid))();
    await Bun.sleep(STOPPED_MS + 1000);
  }
}

async function pauseLeader(): Promise<() => void> {
  const leader = await mesh.leader();
  if (leader === undefined) throw new Error("nobody leads");
  return pause(mesh.names.includes(leader) ? mesh.node(leader) : byPid(mesh.mesh.pid));
}

const FAULTS: Readonly<Record<string, Fault>> = {
  nothing: { does: "nothing, for comparison", prepare: async () => () => {} },
  stage: { does: "a stage is killed", prepare: kill("stage") },
  drafter: { does: "the drafter is killed", prepare: kill("drafter") },
  tree: { does: "the tree host is killed", prepare: kill("tree") },
  host: { does: "a host, with its stage, is killed", prepare: async () => killHost("b") },
  leader: {
    does: "a host whose coordinator leads, with its stage, is killed",
    prepare: async () => killHost(await elsewhereLed()),
  },
  "nats-server": {
    does: "nats-server is killed",
    prepare: async () => {
      const pid = await mesh.natsServer();
      return () => killProcess(pid);
    },
  },
  gateway: { does: "the gateway is killed; its client asks again", prepare: kill("gateway"), breaks: true },
  "stopped-stage": {
    does: "a stage is stopped, and hangs",
    prepare: async (round) => {
      const pid = await processOf("stage", round);
      return () => void process.kill(pid, "SIGSTOP");
    },
  },
  "stopped-host": {
    does: `a host is stopped for ${STOPPED_MS / 1000} s`,
    prepare: async () => pause(mesh.node("b")),
  },
  "stopped-leader": {
    does: `the host whose coordinator leads is stopped for ${STOPPED_MS / 1000} s`,
    prepare: pauseLeader,
  },
};

/** Streams one answer, with the fault in its middle; tells of it as a client would. */
async function disturbed(strike: () => void, breaks = false) {
  let [events, lastAtMs, longestPauseMs] = [0, 0, 0];
  const onEvent = () => {
    const nowMs = performance.now();
    if (lastAtMs > 0) longestPauseMs = Math.max(longestPauseMs, nowMs - lastAtMs);
    lastAtMs = nowMs;
    if (++events === DISTURBED_AFTER) strike();
  };
  const untilMs = performance.now() + ASK_AGAIN_MS;
  for (;;) {
    try {
      const answer = await stream(mesh.mesh, QUESTION, { maxTokens: MAX_TOKENS, onEvent });
      if (answer.finish !== undefined || !breaks) return { ...answer, longestPauseMs };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (!breaks || performance.now() > untilMs) {
        return { text: "", finish: undefined, error: why, longestPauseMs };
      }
    }
    await Bun.sleep(100);
  }
}

async function repeat(times: number, expected: string, { prepare, breaks }: Fault): Promise<Outcome> {
  const outcome: Outcome = { failed: 0, wrong: 0, pausesMs: [] };
  for (let round = 0; round < times && !isCalledOff; round++) {
    await settled();
    const strike = await prepare(round);
    const answer = await disturbed(strike, breaks);
    if (answer.error !== undefined || answer.finish === undefined) {
      outcome.failed++;
      process.stderr.write(`round ${round} failed: ${answer.error ?? "the stream ended too soon"}\n`);
    } else if (answer.text !== expected) {
      outcome.wrong++;
      process.stderr.write(`round ${round} answered: ${answer.text}\n`);
    }
    outcome.pausesMs.push(answer.longestPauseMs);
    process.stderr.write(`${round + 1} of ${times}: ${(answer.longestPauseMs / 1000).toFixed(2)} s\n`);
  }
  return outcome;
}

const quantile = (values: readonly number[], share: number): string => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return (at / 1000).toFixed(2);
};

const [timesGiven = "20", ...wanted] = process.argv.slice(2);
const times = Number(timesGiven);
/** Ctrl-C ends the round that runs, and tells what there is. */
let isCalledOff = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => (isCalledOff = true));
const names = wanted.length === 0 ? Object.keys(FAULTS) : wanted;
try {
  const unknown = names.find((name) => FAULTS[name] === undefined);
  if (unknown !== undefined || !(times > 0)) {
    throw new Error(
      `'${unknown ?? timesGiven}' is no fault or number; faults: ${Object.keys(FAULTS).join(", ")}`,
    );
  }
  await join("a");
  await join("b");
  await settled();
  const expected = (await stream(mesh.mesh, QUESTION, { maxTokens: MAX_TOKENS })).text;
  process.stdout.write(`${mesh.description}\n\n`);
  process.stdout.write(
    "| in the middle of a stream | times | failed | other text | longest pause, p50 | p99 |\n",
  );
  process.stdout.write("| - | - | - | - | - | - |\n");
  for (const name of names) {
    const fault = FAULTS[name];
    if (fault === undefined || isCalledOff) continue;
    const { failed, wrong, pausesMs } = await repeat(times, expected, fault);
    const pauses = `${quantile(pausesMs, 0.5)} s | ${quantile(pausesMs, 0.99)} s`;
    process.stdout.write(`| ${fault.does} | ${pausesMs.length} | ${failed} | ${wrong} | ${pauses} |\n`);
  }
} finally {
  await mesh.close();
}
