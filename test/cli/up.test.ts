import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { isPortFree } from "../../actors/host/port-check.ts";
import type { UpOptions } from "../../cli/up-options.ts";
import { isAlive, waitUntilGone } from "../actors/host/process-gone.ts";
import { natsServerPath } from "../nats-server-path.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const TIMEOUT_MS = 60_000;

let folder: string;
let model: string;
let searchPath: string;
let cache: string;
const started: Subprocess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-up-"));
  model = join(folder, "tiny.gguf");
  cache = join(folder, "cache");
  await writeTinyGguf(model, { layers: 4 });
  // On PATH, so that nothing has to be fetched.
  const bin = join(folder, "bin");
  await mkdir(bin);
  await symlink(await natsServerPath(), join(bin, "nats-server"));
  searchPath = `${bin}:${process.env.PATH}`;
}, TIMEOUT_MS);
afterEach(() => {
  for (const run of started.splice(0)) if (run.exitCode === null) run.kill("SIGKILL");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A port that was free a moment ago. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

class RunningUp {
  readonly options: UpOptions;
  readonly process: Subprocess<"ignore", "pipe", "pipe">;
  text = "";
  readonly #watchers = new Set<() => void>();
  readonly #reading: Promise<void>;

  constructor(changes: Partial<UpOptions> = {}, mode = "") {
    this.options = {
      stages: 2,
      model,
      port: freePort(),
      host: "127.0.0.1",
      policy: "flowspec",
      numerics: "fast",
      ...{ sessions: 1, maxSessions: 128, queue: 256, queueWait: 30 },
      drafter: "ngram",
      natsPort: freePort(),
      mesh: "test",
      reportWork: false,
      ...changes,
    };
    const script = join(import.meta.dir, "up-script.ts");
    this.process = Bun.spawn([process.execPath, script, JSON.stringify(this.options), cache, mode], {
      env: { ...process.env, PATH: searchPath },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    started.push(this.process);
    this.#reading = this.#read();
  }

  /** Resolves when the output has it; rejects when the process ends before. */
  async shows(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      const more = new Promise<"more">((resolve) => this.#watchers.add(() => resolve("more")));
      const what = await Promise.race([more, this.process.exited]);
      if (what !== "more" && !this.text.includes(text)) throw new Error(`ended with ${what}:\n${this.text}`);
    }
  }

  async ended(): Promise<number> {
    const code = await this.process.exited;
    await this.#reading;
    return code;
  }

  /** Its children, and theirs. */
  async descendants(): Promise<number[]> {
    const rows = (await Bun.$`ps -A -o pid= -o ppid=`.text())
      .split("\n")
      .map((row) => row.trim().split(/\s+/).map(Number));
    const found = [this.process.pid];
    for (const parent of found) for (const [pid, ppid] of rows) if (ppid === parent && pid) found.push(pid);
    return found.slice(1);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stderr) {
      this.text += decoder.decode(chunk, { stream: true });
      for (const wake of this.#watchers) wake();
      this.#watchers.clear();
    }
  }
}

/** Nothing of it is left: no process, no listener, no folder. */
async function expectNothingLeft(up: RunningUp, descendants: readonly number[]): Promise<void> {
  await waitUntilGone(descendants);
  expect(isPortFree("127.0.0.1", up.options.port)).toBe(true);
  expect(isPortFree("127.0.0.1", up.options.natsPort ?? 0)).toBe(true);
  expect(existsSync(join(cache, "run", `test-${up.process.pid}`))).toBe(false);
}

describe("a mesh that runs", () => {
  test(
    "tells its steps and where to go, and stops on Ctrl-C with nothing left",
    async () => {
      const up = new RunningUp();
      await up.shows("Press Ctrl-C to stop.");
      const { port, natsPort } = up.options;
      expect(up.text).toMatch(/nats-server: [\d.]+ at nats:\/\/127\.0\.0\.1:\d+\n/);
      expect(up.text).toContain("model: tiny (");
      expect(up.text).toContain("actors: stage-0, stage-1, drafter, tree, gateway\n");
      expect(up.text).toContain(`curl http://127.0.0.1:${port}/v1/chat/completions`);
      expect(up.text).toContain(`http://127.0.0.1:${port}/metrics`);
      expect(up.text).toContain(`nats sub -s nats://127.0.0.1:${natsPort} 'flow.test.session.*.commit'`);
      expect(up.text).not.toContain("\x1b");
      expect(await (await fetch(`http://127.0.0.1:${port}/health`)).text()).toBe("ok");
      const descendants = await up.descendants();
      expect(descendants.length).toBeGreaterThanOrEqual(7);
      up.process.kill("SIGINT");
      expect(await up.ended()).toBe(0);
      await expectNothingLeft(up, descendants);
    },
    TIMEOUT_MS,
  );

  test.each(["SIGTERM", "SIGHUP"] as const)(
    "stops on %s as well",
    async (signal) => {
      const up = new RunningUp();
      await up.shows("Press Ctrl-C to stop.");
      const descendants = await up.descendants();
      up.process.kill(signal);
      expect(await up.ended()).toBe(0);
      await expectNothingLeft(up, descendants);
    },
    TIMEOUT_MS,
  );

  test(
    "starts a killed child again and says so",
    async () => {
      const up = new RunningUp();
      await up.shows("Press Ctrl-C to stop.");
      const commands = await Bun.$`ps -A -o pid= -o ppid= -o args=`.text();
      const child = commands
        .split("\n")
        .find((row) => row.includes(` ${up.process.pid} `) && row.includes("pretend-role"));
      process.kill(Number(child?.trim().split(/\s+/)[0]), "SIGKILL");
      await up.shows("is up again");
      expect(up.text).toMatch(/warn +starts again in 50 ms: it was ended by SIGKILL/);
      up.process.kill("SIGINT");
      expect(await up.ended()).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "that is killed leaves nothing running, and the next start removes its folder",
    async () => {
      const up = new RunningUp();
      await up.shows("Press Ctrl-C to stop.");
      const descendants = await up.descendants();
      up.process.kill("SIGKILL");
      await up.ended();
      await waitUntilGone(descendants);
      const left = `test-${up.process.pid}`;
      expect(await readdir(join(cache, "run"))).toContain(left);
      const next = new RunningUp();
      await next.shows("Press Ctrl-C to stop.");
      expect(await readdir(join(cache, "run"))).not.toContain(left);
      next.process.kill("SIGINT");
      await next.ended();
    },
    TIMEOUT_MS,
  );

  test(
    "ends at once on the second Ctrl-C, even if its children will not",
    async () => {
      const up = new RunningUp({}, "ignore-stop");
      await up.shows("Press Ctrl-C to stop.");
      const descendants = await up.descendants();
      up.process.kill("SIGINT");
      await up.shows("stopping…");
      up.process.kill("SIGINT");
      expect(await up.ended()).toBe(130);
      await expectNothingLeft(up, descendants);
    },
    TIMEOUT_MS,
  );
});

describe("a mesh that does not start", () => {
  test(
    "because a port is taken says which, who wants it and what to do, and starts nothing",
    async () => {
      const holder = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      try {
        const remedies = {
          port: "the HTTP API needs it. Choose another one with --port.",
          natsPort: "nats-server needs it",
        };
        for (const [option, remedy] of Object.entries(remedies)) {
          const up = new RunningUp({ [option]: holder.port });
          expect(await up.ended()).toBe(1);
          expect(up.text).toStartWith(
            `flowmesh: 127.0.0.1:${holder.port} is in use by another process, and ${remedy}`,
          );
          expect(up.text.trim().split("\n")).toHaveLength(1);
        }
      } finally {
        holder.stop(true);
      }
    },
    TIMEOUT_MS,
  );

  test.each(["stage", "gateway"])(
    "because its %s refuses gives the reason and leaves nothing",
    async (role) => {
      const up = new RunningUp({}, `refuse-${role}`);
      expect(await up.ended()).toBe(1);
      expect(up.text).toMatch(new RegExp(`flowmesh: ${role}(-0)? did not start: the kernels are missing\n$`));
      await expectNothingLeft(up, []);
    },
    TIMEOUT_MS,
  );

  test(
    "because there is no such model says so and leaves nothing",
    async () => {
      const up = new RunningUp({ model: "gpt-17" });
      expect(await up.ended()).toBe(1);
      expect(up.text).toContain("flowmesh: there is no model named gpt-17");
      await expectNothingLeft(up, []);
    },
    TIMEOUT_MS,
  );

  test(
    "because it has more stages than layers names the option",
    async () => {
      const up = new RunningUp({ stages: 5 });
      expect(await up.ended()).toBe(1);
      expect(up.text).toContain(
        "option '--stages <n>' is 5, but a model of 4 layers can be split into 1 to 4 stages",
      );
      await expectNothingLeft(up, []);
    },
    TIMEOUT_MS,
  );

  test(
    "because it was called off ends with the signal's code and leaves nothing",
    async () => {
      const up = new RunningUp({}, "hang-tree");
      await up.shows("actors… 80%");
      const descendants = await up.descendants();
      expect(descendants.some(isAlive)).toBe(true);
      up.process.kill("SIGINT");
      expect(await up.ended()).toBe(130);
      await expectNothingLeft(up, descendants);
    },
    TIMEOUT_MS,
  );
});
