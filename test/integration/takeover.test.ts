/** The host whose coordinator leads is stopped or killed in mid-stream: real processes, a real server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { smallModel } from "./host-churn.ts";
import { HostMesh } from "./host-mesh.ts";
import { type Streamed, stageHosts, stream, until } from "./mesh-nodes.ts";

const MINUTES = 60_000;
const QUESTION = "What is a pipeline?";
const TOKENS = 120;
/** Events after which a stream is disturbed: past the prompt, far from the end. */
const DISTURBED_AFTER = 10;
/** Slower than this machine mostly is, and the same for all, so that each of them is worth a stage. */
const LAYER_MS = 1;
const LINK = { delayMs: 2, mbps: 150 };
const TAKEN_OVER_MS = 2 * MINUTES;

describe("when the host that leads the mesh", () => {
  let folder: string;
  let hosts: HostMesh;
  let expected: Pick<Streamed, "text" | "finish" | "error">;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "flowmesh-takeover-"));
    hosts = await HostMesh.open(LINK, { upArguments: ["--model", await smallModel(folder)] });
    await Promise.all(["a", "b"].map((name) => hosts.join(name, LAYER_MS)));
    await hosts.settled(2);
    expected = seen(await stream(hosts.mesh, QUESTION, { maxTokens: TOKENS }));
    expect(expected).toMatchObject({ finish: "length", error: undefined });
  }, 5 * MINUTES);
  afterAll(async () => {
    await hosts?.close();
    await rm(folder, { recursive: true, force: true });
  }, MINUTES);

  const seen = ({ text, finish, error }: Streamed) => ({ text, finish, error });

  /** What happens begins in the middle of a stream; others follow until it is over. None may notice. */
  async function unnoticed(happens: () => Promise<void>): Promise<void> {
    let happening: Promise<void> | undefined;
    let isOver = false;
    const onEvent = (count: number) => {
      if (count !== DISTURBED_AFTER || happening !== undefined) return;
      happening = happens().finally(() => {
        isOver = true;
      });
      // It is awaited when the stream has ended.
      happening.catch(() => {});
    };
    do {
      expect(seen(await stream(hosts.mesh, QUESTION, { maxTokens: TOKENS, onEvent }))).toEqual(expected);
    } while (happening !== undefined && !isOver);
    await happening;
    expect(isOver).toBe(true);
  }

  async function leader(): Promise<string> {
    const name = await hosts.leader();
    if (name === undefined) throw new Error("nobody leads");
    return name;
  }

  async function followedBy(former: string): Promise<string> {
    const endMs = performance.now() + TAKEN_OVER_MS;
    for (;;) {
      const present = await hosts.leader();
      if (present !== undefined && present !== former) return present;
      if (performance.now() > endMs) throw new Error(`nobody leads in the place of ${former}`);
      await Bun.sleep(100);
    }
  }

  const isUsed = (name: string) =>
    until(hosts.mesh, (now) => stageHosts(now).includes(name) && now.short === undefined, TAKEN_OVER_MS);

  /** Nobody but `flowmesh up` leads at first. Its nats-server and gateway are processes of their own, and go on. */
  async function withoutUp(does: () => Promise<void>): Promise<void> {
    process.kill(hosts.mesh.pid, "SIGSTOP");
    try {
      await does();
    } finally {
      process.kill(hosts.mesh.pid, "SIGCONT");
    }
  }

  test(
    "is stopped past its lease, another one leads and makes use of a host that joins",
    async () => {
      const former = await leader();
      expect(hosts.names).not.toContain(former);
      await unnoticed(() =>
        withoutUp(async () => {
          expect(hosts.names).toContain(await followedBy(former));
          await hosts.join("c", LAYER_MS);
          await isUsed("c");
        }),
      );
      // It has joined again, and follows.
      const { hosts: present } = await until(hosts.mesh, (now) => now.hosts.length === 4, TAKEN_OVER_MS);
      expect(present.map(({ name }) => name)).toContain(former);
    },
    4 * MINUTES,
  );

  test(
    "is killed, with a stage of the stream, another one leads, and gives its layers to others",
    async () => {
      await hosts.settled(3);
      const former = await leader();
      // A machine that is very busy may have made it lead again.
      if (!hosts.names.includes(former)) await withoutUp(async () => void (await followedBy(former)));
      const { epoch } = await hosts.settled(3);
      const killed = await leader();
      await unnoticed(async () => {
        hosts.node(killed).signal("SIGKILL");
        await followedBy(killed);
        const after = await until(
          hosts.mesh,
          (now) => now.epoch > epoch && stageHosts(now).length > 0 && now.short === undefined,
          TAKEN_OVER_MS,
        );
        expect(stageHosts(after)).not.toContain(killed);
        // As a machine does that was switched off and on.
        await hosts.join(killed, LAYER_MS);
        await isUsed(killed);
      });
    },
    4 * MINUTES,
  );
});
