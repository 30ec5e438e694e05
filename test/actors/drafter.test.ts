import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { drafterActor } from "../../actors/drafter.ts";
import {
  type BeginMessage,
  type CandidatesMessage,
  candidatesSchema,
  type ExpandMessage,
  encodeJson,
  type MessageKind,
  parseJson,
} from "../../actors/messages.ts";
import type { ActorRef } from "../../actors/runtime/actor.ts";
import { silentLog } from "../../actors/runtime/log.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { epoch } from "../../decoding/ids.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../../models/draft-engine.ts";
import { MemoryMesh } from "../../transport/memory.ts";
import { draftSubject, sessionSubject, treeSubject } from "../../transport/subjects.ts";
import type { Transport } from "../../transport/transport.ts";
import { SimulatedClock, settle } from "../simulated-clock.ts";

const SIZE = {
  growth: "best",
  topK: 2,
  batch: 1,
  depth: 3,
  total: 8,
  minProbability: 0,
  coupled: true,
} as const;

const candidate = (token: number): DraftCandidates => ({
  parents: Int32Array.of(-1),
  tokens: Uint32Array.of(token),
  scores: Float32Array.of(-1),
});

interface Running {
  readonly request: DraftRequest;
  readonly tell: (found: DraftCandidates) => void;
  readonly finish: (rest: DraftCandidates) => void;
}

/** Needs no features, and finds what the test says, when it says so. */
class ScriptedEngine implements DraftEngine {
  readonly taps = [];
  readonly running: Running[] = [];
  readonly extended: DraftContext[] = [];

  async begin(): Promise<void> {}

  async extend(context: DraftContext): Promise<void> {
    this.extended.push(context);
  }

  expand(request: DraftRequest, onFound?: (found: DraftCandidates) => void): Promise<DraftCandidates> {
    const { promise, resolve } = Promise.withResolvers<DraftCandidates>();
    this.running.push({ request, tell: (found) => onFound?.(found), finish: resolve });
    return promise;
  }

  async release(): Promise<void> {}
  async close(): Promise<void> {}
}

let engine: ScriptedEngine;
let actor: ActorRef;
let publisher: Transport;
let heard: CandidatesMessage[];
beforeEach(async () => {
  engine = new ScriptedEngine();
  heard = [];
  const clock = new SimulatedClock();
  const mesh = new MemoryMesh({ clock });
  publisher = mesh.connect("tree");
  publisher.subscribe(treeSubject("m", 1, "s"), (message) => {
    expect(message.headers["Flow-Kind"]).toBe("candidates");
    heard.push(parseJson(candidatesSchema, message));
  });
  const definition = drafterActor({ mesh: "m", epoch: epoch(1), engine });
  actor = await spawn(definition, { transport: mesh.connect("drafter"), clock, log: silentLog });
  const begin: BeginMessage = {
    generation: 0,
    tokens: [5, 6, 7],
    promptTokens: 3,
    sampling: GREEDY,
    reused: 0,
  };
  await send("begin", begin);
});
afterEach(() => actor.stop());

async function send(kind: MessageKind, value: unknown): Promise<void> {
  publisher.publish(draftSubject("m", 1, "s"), encodeJson(value), { "Flow-Kind": kind });
  await settle();
}

const expand = (change: Partial<ExpandMessage>) => {
  const request: ExpandMessage = { generation: 0, base: 3, position: 2, path: [7], ...SIZE, ...change };
  return send("expand", request);
};

const told = () => heard.map(({ base, tokens, more }) => ({ base, tokens, more }));

describe("an expansion", () => {
  test("is told in parts, the last of which says so", async () => {
    await expand({});
    const [{ request, tell, finish }] = engine.running as [Running];
    expect(request).toEqual({ session: "s", path: [7], ...SIZE, sampling: GREEDY });
    tell(candidate(1));
    tell(candidate(2));
    finish(candidate(3));
    await settle();
    expect(told()).toEqual([
      { base: 3, tokens: [1], more: true },
      { base: 3, tokens: [2], more: true },
      { base: 3, tokens: [3], more: false },
    ]);
  });

  test("that found nothing more still says that it is finished", async () => {
    await expand({});
    const none = { parents: new Int32Array(0), tokens: new Uint32Array(0), scores: new Float32Array(0) };
    engine.running[0]!.finish(none);
    await settle();
    expect(told()).toEqual([{ base: 3, tokens: [], more: false }]);
  });

  test("that a newer one replaces leaves the last word to that", async () => {
    await expand({});
    await expand({ total: 4 });
    const [older, newer] = engine.running as [Running, Running];
    older.finish(candidate(1));
    newer.finish(candidate(2));
    await settle();
    expect(told()).toEqual([
      { base: 3, tokens: [1], more: true },
      { base: 3, tokens: [2], more: false },
    ]);
  });

  test("waits for the features of its root, and the newest that waits counts", async () => {
    await expand({ base: 8, position: 3, path: [9] });
    await expand({ base: 9, position: 3, path: [9], total: 5 });
    expect(engine.running).toEqual([]);
    const commit = { epoch: 1, generation: 0, segment: 0, position: 3, nodes: [2], tokens: [9], text: "" };
    publisher.publish(sessionSubject("m", "s", "commit"), encodeJson(commit));
    await settle();
    expect(engine.extended.at(-1)?.nextTokens).toEqual(Uint32Array.of(9));
    expect(engine.running.map(({ request }) => request.total)).toEqual([5]);
  });

  test("below a root that is no longer the last certain token is not begun", async () => {
    await expand({ base: 1, position: 1, path: [6] });
    expect(engine.running).toEqual([]);
    expect(heard).toEqual([]);
  });
});
