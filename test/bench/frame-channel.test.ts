import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  connectTcp,
  type FrameChannel,
  listenTcp,
  memoryChannels,
} from "../../bench/mesh-cost/frame-channel.ts";
import { answerWithTimes, HopTimer, segmentOf } from "../../bench/mesh-cost/hop-timing.ts";

test("frames of any size arrive over TCP in order, whole and aligned", async () => {
  const received: Uint8Array[] = [];
  let arrived: () => void = () => {};
  const port = await listenTcp("127.0.0.1", (channel) => {
    channel.onFrame((body) => {
      received.push(body);
      arrived();
    });
  });
  const near = await connectTcp("127.0.0.1", port);
  const frames = fc.array(fc.uint8Array({ maxLength: 70_000, size: "max" }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(frames, async (bodies) => {
      received.length = 0;
      const all = new Promise<void>((resolve) => {
        arrived = () => received.length === bodies.length && resolve();
      });
      for (const body of bodies) near.send(body, {});
      await all;
      expect(received).toEqual(bodies);
      for (const { byteOffset } of received) expect(byteOffset % 8).toBe(0);
    }),
    { numRuns: 25, examples: [[[new Uint8Array(0)]], [[new Uint8Array(9), new Uint8Array(0)]]] },
  );
  await near.close();
});

test.each(["memory", "tcp"])("the time of each segment of a burst comes back (%s)", async (kind) => {
  let near: FrameChannel;
  if (kind === "memory") {
    const channels = memoryChannels();
    answerWithTimes(channels.far);
    near = channels.near;
  } else near = await connectTcp("127.0.0.1", await listenTcp("127.0.0.1", answerWithTimes));
  const timer = new HopTimer(near);
  await timer.synchronise();
  const times = await timer.burst([1, 16, 4].map((nodes) => segmentOf(nodes, 8)));
  expect(times).toHaveLength(3);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  for (const ms of times) expect(Number.isFinite(ms)).toBe(true);
  await near.close();
});
