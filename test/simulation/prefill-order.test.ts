import { expect, test } from "bun:test";
import type { SessionEnd } from "../../actors/session-port.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { decodeSegment } from "../../transport/frame.ts";
import { ANY, parseSession, parseStage, sessionSubject, stageSubject } from "../../transport/subjects.ts";
import { ToyMesh } from "./toy-mesh.ts";
import { plainDecoding } from "./toy-model.ts";
import { seededRandom, World } from "./world.ts";

const SESSIONS = 6;
const PROMPT_TOKENS = 40;
const COUNT = 60;
/** Longer than anything that is under way takes. */
const DRAINED_MS = 200;

async function playUntil(world: World, over: Promise<void>): Promise<void> {
  let isOver = false;
  over.then(
    () => {
      isOver = true;
    },
    () => {},
  );
  await world.play(() => isOver);
}

test("sessions prefill again in the order of their activity when a stage starts anew, and lose nothing", async () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const random = seededRandom(seed * 31);
    const world = new World(seed, { delayMs: 3 });
    const mesh = await ToyMesh.start(world, { stageCount: 2, pace: [{ nodes: 1, ms: 3 }] });
    const observer = world.mesh.connect("observer");
    /** In the order of the last commit, the latest last. */
    const active = new Set<string>();
    observer.subscribe(sessionSubject("toy", ANY, "commit"), ({ subject }) => {
      const sid = parseSession(subject)?.sid ?? "";
      active.delete(sid);
      active.add(sid);
    });
    const ends: SessionEnd[] = [];
    const texts: { tokens: number[]; expected: number[] }[] = [];
    for (let i = 0; i < SESSIONS; i++) {
      const prompt = Array.from({ length: PROMPT_TOKENS }, () => Math.floor(random() * 11));
      const text = {
        tokens: [] as number[],
        expected: plainDecoding(prompt, GREEDY, { count: COUNT, stopTokens: [] }),
      };
      texts.push(text);
      const request = {
        prompt: Uint32Array.from(prompt),
        sampling: GREEDY,
        maxTokens: COUNT,
        stopTokens: [],
      };
      mesh.client.open({ ...request, policy: "autoregressive" }).then(
        async (session) => {
          for await (const { tokens } of session.commits) text.tokens.push(...tokens);
          ends.push(await session.ended);
        },
        () => {},
      );
    }
    await world.play(() => active.size === SESSIONS);
    await playUntil(world, mesh.killStage(0));
    await world.play(() => false, world.now + DRAINED_MS);
    const expected = [...active].reverse();
    const begun: string[] = [];
    observer.subscribe(stageSubject("toy", 1, 0, ANY), (message) => {
      if (decodeSegment(message).sequence === 0) begun.push(parseStage(message.subject)?.sid ?? "");
    });
    await playUntil(world, mesh.startStage(0));
    await world.play(() => ends.length === SESSIONS);
    expect({ seed, begun }).toEqual({ seed, begun: expected });
    for (const { tokens, expected: right } of texts)
      expect({ seed, tokens }).toEqual({ seed, tokens: right });
    await world.stop();
  }
});
