import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseJson, type StageWorkMessage, stageWorkSchema } from "../../actors/messages.ts";
import { listActors } from "../../bench/mesh-inventory.ts";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { messageBytes } from "../../transport/link-model.ts";
import { connectNats } from "../../transport/nats.ts";
import { ANY, eventSubject, sessionSubject } from "../../transport/subjects.ts";
import type { Transport } from "../../transport/transport.ts";
import { MeshSessions } from "./mesh-sessions.ts";

const MINUTES = 60_000;
const STAGES = 2;
const LINK_MS = 15;
/** Of the device model cpu-fast, for one node. */
const PACE_MS = 24;
const PROMPT = Uint32Array.from([1, 9690, 198, 2, 198, 1, 520, 9531, 198]);
const MAX_TOKENS = 8;

describe("a mesh with paced stages behind links", () => {
  let mesh: RunningMesh;
  let sessions: MeshSessions;
  let listener: Transport;
  beforeAll(async () => {
    const slow = ["--device", "cpu-fast", "--link", `${LINK_MS}ms/150mbit`, "--report-work"];
    mesh = await startMesh("--stages", String(STAGES), "--drafter", "none", ...slow);
    sessions = await MeshSessions.connect(mesh);
    listener = await connectNats({ url: mesh.natsUrl, name: "listener" });
  }, 5 * MINUTES);
  afterAll(async () => {
    await listener.close();
    await sessions.close();
    await mesh.stop();
  });

  test(
    "tells of each segment, and takes no less time than device and links would",
    async () => {
      const work: StageWorkMessage[] = [];
      const commits: { atMs: number; bytes: number }[] = [];
      listener.subscribe(eventSubject(mesh.mesh, "work"), (message) => {
        work.push(parseJson(stageWorkSchema, message));
      });
      listener.subscribe(sessionSubject(mesh.mesh, ANY, "commit"), ({ subject, body }) => {
        commits.push({ atMs: performance.now(), bytes: messageBytes(subject, body) });
      });
      await listener.flush();
      const ask = { prompt: PROMPT, sampling: GREEDY, policy: "autoregressive", maxTokens: MAX_TOKENS };
      await sessions.ask(ask, []);
      await listener.flush();

      const decoding = work.filter(({ committed }) => !committed);
      expect(decoding).toHaveLength((MAX_TOKENS - 1) * STAGES);
      for (const { beginMs, endMs, computeMs, nodes } of decoding) {
        expect(nodes).toHaveLength(1);
        expect(endMs - beginMs).toBeGreaterThanOrEqual(PACE_MS);
        expect(computeMs).toBeGreaterThan(0);
      }
      const last = decoding.filter(({ stage }) => stage === STAGES - 1);
      expect(last.map(({ bytes }) => bytes)).toEqual(commits.slice(1).map(({ bytes }) => bytes));
      const wholeMs = commits.at(-1)!.atMs - commits[0]!.atMs;
      const leastMs = (MAX_TOKENS - 1) * (STAGES * PACE_MS + (STAGES + 1) * LINK_MS);
      // Of the first commit only its arrival is known, which may have been late.
      expect(wholeMs).toBeGreaterThan(leastMs - PACE_MS);
    },
    MINUTES,
  );

  test("stages show the device's costs and how the real work fits into them", async () => {
    const stages = (await listActors(listener)).filter(({ name }) => name.startsWith("stage-"));
    expect(stages).toHaveLength(STAGES);
    for (const { metadata } of stages) {
      expect(metadata.costs_ms).toStartWith("1=24.00 2=26.90 4=36.00");
      expect(metadata.measured_costs_ms).toMatch(/^1=\d/);
      expect(Number(metadata.paced_segments)).toBeGreaterThanOrEqual(MAX_TOKENS);
    }
  });
});
