import { expect, test } from "bun:test";
import { encodeJson, type PipelineMessage } from "../../actors/messages.ts";
import { SessionClient } from "../../actors/session-client.ts";
import type { SessionRequest } from "../../actors/session-port.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { MemoryMesh } from "../../transport/memory.ts";
import { ANY, eventSubject, sessionSubject } from "../../transport/subjects.ts";
import { SimulatedClock, settle } from "../simulated-clock.ts";

const MESH = "toy";
const SECOND = 1000;
const REQUEST: SessionRequest = {
  prompt: Uint32Array.from([1, 2, 3]),
  sampling: GREEDY,
  maxTokens: 9,
  stopTokens: [],
};
const READY: PipelineMessage = {
  ...{ epoch: 1, ready: true, modelId: "toy", contextLength: 99, policies: [], stages: 2, numerics: "fast" },
};

/** A gateway's client, and a mesh that has reported once. */
async function reported(message: PipelineMessage) {
  const clock = new SimulatedClock();
  const world = new MemoryMesh();
  const client = new SessionClient({ mesh: MESH, transport: world.connect("gateway"), clock });
  const others = world.connect("others");
  let opened = 0;
  others.subscribe(sessionSubject(MESH, ANY, "open"), (asked) => {
    opened++;
    asked.respond(encodeJson({}));
  });
  const report = async (what: PipelineMessage) => {
    others.publish(eventSubject(MESH, "pipeline"), encodeJson(what));
    await settle();
  };
  await report(message);
  /** What became of a new request so far. */
  const ask = () => {
    const asked = { outcome: "waits" };
    client.open(REQUEST).then(
      (session) => {
        asked.outcome = "open";
        session.cancel("enough");
      },
      (error) => {
        asked.outcome = `${error.code}: ${error.message}`;
      },
    );
    return asked;
  };
  return { clock, client, report, ask, opened: () => opened };
}

test("a new request waits for a mesh that was ready and is silent, until another coordinator reports", async () => {
  const { clock, client, report, ask, opened } = await reported(READY);
  await clock.advance(9 * SECOND);
  expect(client.status().reason).toBe("the pipeline has not reported for 9 s");
  const asked = ask();
  await clock.advance(9 * SECOND);
  expect(asked.outcome).toBe("waits");
  expect(opened()).toBe(0);
  await report({ ...READY, epoch: 2 });
  await clock.advance(SECOND);
  expect(asked.outcome).toBe("open");
});

test("it is refused when nobody reports in time, or what is reported is that nothing can be served", async () => {
  const { clock, report, ask } = await reported(READY);
  await clock.advance(9 * SECOND);
  const first = ask();
  await clock.advance(11 * SECOND);
  expect(first.outcome).toMatch(/^not_ready: the pipeline has not reported for (19|20) s$/);
  const second = ask();
  await report({ ...READY, ready: false, reason: "no host is there" });
  await clock.advance(SECOND);
  expect(second.outcome).toBe("not_ready: no host is there");
});

test("it does not wait for a mesh that has said that it can't serve", async () => {
  const { clock, ask } = await reported({ ...READY, ready: false, reason: "no host is there" });
  const soon = ask();
  await settle();
  expect(soon.outcome).toBe("not_ready: no host is there");
  await clock.advance(9 * SECOND);
  const later = ask();
  await settle();
  expect(later.outcome).toMatch(/^not_ready: /);
});
