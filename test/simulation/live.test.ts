/** What a page is told of sessions, by all actors of a simulated mesh. */
import { describe, expect, test } from "bun:test";
import type { LiveEvent, LiveSessionEvent } from "../../actors/live-port.ts";
import type { Session, SessionEnd } from "../../actors/session-port.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { eventSubject } from "../../transport/subjects.ts";
import { Recording } from "../../web/live/recording.ts";
import type { SessionView } from "../../web/live/session-view.ts";
import { TOY_POLICIES, ToyMesh } from "./toy-mesh.ts";
import { plainDecoding } from "./toy-model.ts";
import { type Faults, World } from "./world.ts";

const NAME = "simulated-watcher";
const PROMPT = [3, 1, 4, 1, 5];
const STAGES = 3;

interface Watched {
  readonly tokens: number[];
  readonly events: readonly LiveSessionEvent[];
  readonly recording: Recording;
  /** Reports of stages' work, whoever asked for them. */
  readonly reports: number;
  readonly end: SessionEnd;
}

async function watch(seed: number, policy: string, faults: Faults, asked = NAME): Promise<Watched> {
  const world = new World(seed, {});
  const mesh = await ToyMesh.start(world, { stageCount: STAGES, draftSkill: 0.6, watched: true });
  let reports = 0;
  world.mesh.connect("counter").subscribe(eventSubject("toy", "work"), () => {
    reports++;
  });
  const events: LiveSessionEvent[] = [];
  const tell = (event: LiveEvent): void => {
    if (event.type !== "mesh") events.push(event);
  };
  const watching = mesh.live.watch(NAME, { tell, end: () => {} });
  const sampling = { ...GREEDY, temperature: 0.8, seed };
  const question = { prompt: Uint32Array.from(PROMPT), sampling, maxTokens: 24, stopTokens: [], policy };
  let session: Session | undefined;
  let end: SessionEnd | undefined;
  const tokens: number[] = [];
  const run = async (): Promise<void> => {
    session = await mesh.client.open({ ...question, live: asked });
    world.faults = faults;
    for await (const commit of session.commits) tokens.push(...commit.tokens);
    end = await session.ended;
  };
  const running = run();
  await world.play(() => end !== undefined);
  await running;
  watching.stop();
  await world.stop();
  const recording = new Recording(session?.id ?? "", STAGES);
  for (const event of events) recording.push(event);
  return { tokens, events, recording, reports, end: end! };
}

const plain = (seed: number) =>
  plainDecoding(PROMPT, { ...GREEDY, temperature: 0.8, seed }, { count: 24, stopTokens: [] });

/** What a person sees of it, as plain values. */
const seen = (view: SessionView) => ({
  text: view.tokens.map(({ text }) => text).join(""),
  guessed: view.tokens.filter(({ guessed }) => guessed).length,
  root: view.root?.position,
  segments: [...view.segments.values()].map(({ key, stage, count }) => [key, stage, count]),
  commits: view.commits,
  ended: view.ended,
});

describe("a watched session", () => {
  test.each([...TOY_POLICIES])("of policy %s is told of as it was", async (policy) => {
    const { tokens, events, recording, end } = await watch(7, policy, {});
    const { live } = recording;
    expect(tokens).toEqual(plain(7));
    expect(live.tokens.map(({ text }) => Number(text))).toEqual(tokens);
    expect(live.root?.position).toBe(PROMPT.length + tokens.length - 1);
    expect(live.commits).toBe(end.stats.commits);
    expect(events[0]).toMatchObject({ type: "opened", promptTokens: PROMPT.length, policy });
    expect(events.at(-1)).toMatchObject({ type: "ended", reason: "length", stats: end.stats });
    // Each stage has told of each segment that it got. Their reports may overtake each other.
    const sent = events.filter((event) => event.type === "sent");
    expect(sent.length).toBe(end.stats.segments);
    const worked = events.filter((event) => event.type === "worked");
    const last = events.findLast((event) => event.type === "committed")?.segment ?? 0;
    for (const { segment, generation } of sent.filter((each) => each.segment < last)) {
      const own = worked.filter((each) => each.segment === segment && each.generation === generation);
      expect(own.map(({ stage }) => stage).sort()).toEqual([0, 1, 2]);
    }
  });

  test("whose guesses are never right shows none as right", async () => {
    const { recording } = await watch(7, "autoregressive", {});
    expect(recording.live.tokens.some(({ guessed }) => guessed)).toBe(false);
    expect(recording.live.meanAccepted).toBe(1);
  });

  test("shows each guess that plain decoding confirms, and only those", async () => {
    const { recording, end } = await watch(3, "flowspec", {});
    const guessed = recording.live.tokens.filter((token) => token.guessed).length;
    // A sent node is accepted when the walk goes on from it, which the answer's last token can't show.
    expect(guessed - end.stats.acceptedTokens).toBeWithin(0, 2);
    expect(guessed).toBeGreaterThan(3);
  });

  test("can be shown again at any moment, forwards and back", async () => {
    const { recording, events } = await watch(5, "fullflow", {});
    const moments = [0.1, 0.9, 0.5, 1, 0.2].map((share) => share * recording.lengthMs);
    for (const moment of moments) {
      const fresh = new Recording(recording.session, STAGES);
      for (const event of events) if (event.atMs <= moment) fresh.push(event);
      expect(seen(recording.viewAt(moment))).toEqual(seen(fresh.live));
    }
    expect(seen(recording.viewAt(recording.lengthMs))).toEqual(seen(recording.live));
  });

  test("is followed through losses and replays", async () => {
    let replays = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const policy = TOY_POLICIES[seed % TOY_POLICIES.length]!;
      const { tokens, recording, events } = await watch(seed, policy, { loss: () => 0.02, doubling: 0.02 });
      expect([seed, tokens]).toEqual([seed, plain(seed)]);
      expect(events.at(-1)?.type).toBe("ended");
      if (recording.live.generation > 0) replays++;
      // A commit that nobody heard is missing from the view; what it has is right and in order.
      const shown = recording.live.tokens.map(({ text }) => Number(text));
      const rest = [...tokens];
      for (const token of shown) {
        const at = rest.indexOf(token);
        expect([seed, at]).not.toEqual([seed, -1]);
        rest.splice(0, at + 1);
      }
    }
    expect(replays).toBeGreaterThan(3);
  });
});

test("a session that nobody watches is told of to nobody, by no actor", async () => {
  const { tokens, events, reports } = await watch(7, "fullflow", {}, "another-name-than-that");
  expect(tokens).toEqual(plain(7));
  expect(events).toEqual([]);
  expect(reports).toBe(0);
  expect((await watch(7, "fullflow", {})).reports).toBeGreaterThan(20);
});
