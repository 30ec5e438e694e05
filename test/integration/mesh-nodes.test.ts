/** Hosts that come, go and die while streams run: real processes, a real server, the default model. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { drain } from "../../cli/top.ts";
import { churn, smallModel } from "./host-churn.ts";
import { HostMesh } from "./host-mesh.ts";
import { accessTo, killProcess, stageHosts, startNode, stream, until } from "./mesh-nodes.ts";

const MINUTES = 60_000;
const QUESTION = "What is a pipeline?";
const TOKENS = 120;
/** Events after which a stream is disturbed: past the prompt, far from the end. */
const DISTURBED_AFTER = 10;
/** Slower than this machine mostly is, and the same for all. */
const LAYER_MS = 1;
/** Of hosts that come and go under load. */
const JOINS = 5;
const LINK = { delayMs: 2, mbps: 150 };

describe("a mesh of several hosts", () => {
  let hosts: HostMesh;
  let mesh: RunningMesh;
  let expected: string;

  beforeAll(async () => {
    hosts = await HostMesh.open(LINK);
    mesh = hosts.mesh;
  }, 5 * MINUTES);
  afterAll(() => hosts?.close(), MINUTES);

  /** The stream must be as if nothing had happened, whatever is done in its middle. */
  async function undisturbed(disturb: () => Promise<void> | void) {
    let disturbance: Promise<void> | undefined;
    const answer = await stream(mesh, QUESTION, {
      maxTokens: TOKENS,
      onEvent: (count) => {
        if (count === DISTURBED_AFTER) disturbance = Promise.resolve(disturb());
      },
    });
    await disturbance;
    expect(disturbance).toBeDefined();
    const { text, finish, error } = answer;
    expect({ text, finish, error }).toEqual({ text: expected, finish: "length", error: undefined });
    return answer;
  }

  test(
    "a node fetches the layers it is given, and answers; what cannot join says why",
    async () => {
      await hosts.join("a", LAYER_MS);
      await until(mesh, (snapshot) => stageHosts(snapshot).join() === "a");
      const answer = await stream(mesh, QUESTION, { maxTokens: TOKENS });
      expect(answer.finish).toBe("length");
      expected = answer.text;
      expect(hosts.node("a").text).toMatch(/MiB fetched/);
      const refusals: [string, string[], RegExp][] = [
        ["a", [], /a host named "a" is in mesh .* already \(process \d+\)/],
        ["c", ["--mesh", "elsewhere"], /there is no mesh "elsewhere" at .*: it has .*test-\d+/],
        ["c", ["--memory", "64MB"], /'--memory <size>' is 64 MiB; a single layer .* need \d+ MiB/],
      ];
      const ended = refusals.map(async ([name, args, says]) => {
        const node = await hosts.start(name, undefined, ...args);
        expect(await node.exited).toBe(1);
        expect(node.text).toMatch(says);
      });
      await Promise.all(ended);
    },
    3 * MINUTES,
  );

  test(
    "a second node takes over some of the layers while a stream runs, which does not notice",
    async () => {
      await undisturbed(async () => void (await hosts.join("b", LAYER_MS)));
      const { actors } = await until(mesh, (snapshot) => stageHosts(snapshot).length === 2);
      const layers = actors.flatMap((actor) =>
        actor.state === "active" && actor.layers ? [actor.layers] : [],
      );
      expect(layers.toSorted((x, y) => x[0] - y[0]).map(([first]) => first)[0]).toBe(0);
      expect(Math.max(...layers.map(([, end]) => end))).toBe(30);
    },
    3 * MINUTES,
  );

  test.each(["stage", "drafter", "tree"] as const)(
    "a %s that is killed in the middle of a stream changes nothing in it",
    async (role) => {
      await until(
        mesh,
        ({ actors, short }) => short === undefined && actors.every(({ state }) => state === "active"),
      );
      const { actors } = await until(
        mesh,
        (snapshot) =>
          stageHosts(snapshot).length === 2 &&
          snapshot.actors.some((actor) => actor.role === role && actor.pid > 0),
      );
      const victim = actors.find((actor) => actor.role === role);
      if (victim === undefined) throw new Error(`there is no ${role}`);
      const pid = await hosts.processOf(victim);
      await undisturbed(() => killProcess(pid));
    },
    2 * MINUTES,
  );

  test(
    "nor does a restart of nats-server",
    async () => {
      const server = await hosts.natsServer();
      await undisturbed(() => void killProcess(server));
    },
    2 * MINUTES,
  );

  test(
    "a host that is killed is replaced in the middle of a stream",
    async () => {
      await until(mesh, (snapshot) => stageHosts(snapshot).length === 2);
      await undisturbed(() => hosts.node("b").signal("SIGKILL"));
      expect(stageHosts(await until(mesh, (snapshot) => stageHosts(snapshot).length === 1))).toEqual(["a"]);
    },
    2 * MINUTES,
  );

  test(
    "a host that was paused past its lease ends what it ran, joins anew, and is used",
    async () => {
      await hosts.join("b", LAYER_MS);
      await until(mesh, (snapshot) => stageHosts(snapshot).length === 2, 2 * MINUTES);
      const { epoch } = await until(mesh, () => true);
      await undisturbed(() => hosts.node("b").signal("SIGSTOP"));
      await until(mesh, (snapshot) => snapshot.epoch > epoch && stageHosts(snapshot).join() === "a");
      hosts.node("b").signal("SIGCONT");
      await until(mesh, (snapshot) => stageHosts(snapshot).length === 2, 2 * MINUTES);
      expect(hosts.node("b").text).toContain("ends what it runs and joins anew");
      await undisturbed(() => {});
    },
    4 * MINUTES,
  );

  test(
    "a host that is drained in the middle of a stream leaves when others have taken over",
    async () => {
      let leaving: Promise<void> | undefined;
      await undisturbed(() => {
        leaving = drain("a", accessTo(mesh));
      });
      await leaving;
      expect(await hosts.node("a").exited).toBe(0);
      expect(stageHosts(await until(mesh, (snapshot) => stageHosts(snapshot).length === 1))).toEqual(["b"]);
    },
    2 * MINUTES,
  );

  test(
    "with no room left a stream ends with an error, and the mesh heals when a host comes",
    async () => {
      const answer = await stream(mesh, QUESTION, {
        maxTokens: 400,
        onEvent: (count) => {
          if (count === DISTURBED_AFTER) hosts.node("b").signal("SIGKILL");
        },
      });
      expect(answer.error).toMatch(/no host is there to run/);
      expect(answer.text.length).toBeGreaterThan(0);
      // As fast as this machine is, which it measures.
      await hosts.join("d");
      await until(
        mesh,
        (snapshot) => stageHosts(snapshot).join() === "d" && snapshot.short === undefined,
        2 * MINUTES,
      );
      expect((await stream(mesh, QUESTION, { maxTokens: TOKENS })).text).toBe(expected);
    },
    4 * MINUTES,
  );
});

test(
  "hosts that come, and are drained or killed, while others ask without a break fail no request",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-churn-"));
    const hosts = await HostMesh.open(LINK, { upArguments: ["--model", await smallModel(folder)] });
    try {
      await hosts.join("first", LAYER_MS);
      await hosts.settled(1);
      const { failures, wrong, requests, ...done } = await churn(hosts, {
        ...{ joins: JOINS, visitors: [["a", "b"]], layerMs: LAYER_MS, streams: 2, maxTokens: 32 },
      });
      expect({ failures, wrong }).toEqual({ failures: [], wrong: 0 });
      expect(done).toMatchObject({ joins: JOINS, drained: 3, killed: 2 });
      expect(requests).toBeGreaterThan(JOINS);
    } finally {
      await hosts.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
  5 * MINUTES,
);

test(
  "a mesh that wants a token refuses a host that has none or another",
  async () => {
    const mesh = await startMesh("--no-stages", "--nats-token", "open-sesame");
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-token-"));
    try {
      const refused: [string[], RegExp][] = [
        [[], /wants a token. Give the one that 'flowmesh up' shows/],
        [["--token", "please"], /refuses the token/],
      ];
      const { natsToken, ...door } = mesh;
      expect(natsToken).toBe("open-sesame");
      for (const [args, says] of refused) {
        const node = startNode(door, { home: folder }, "c", ...args);
        expect(await node.exited).toBe(1);
        expect(node.text).toMatch(says);
      }
    } finally {
      await mesh.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
  2 * MINUTES,
);
