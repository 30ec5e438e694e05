import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PipelineCosts, segmentMs } from "../../decoding/costs.ts";
import { FirstStage } from "../../decoding/first-stage.ts";

const TABLE = [
  { nodes: 1, ms: 4 },
  { nodes: 16, ms: 20 },
];
/** The second stage is slower; the first one's queue must not look at it. */
const COSTS = new PipelineCosts([TABLE, [{ nodes: 1, ms: 100 }]]);

interface Order {
  /** Time since the one before, milliseconds. */
  readonly afterMs: number;
  readonly nodes: number;
  readonly creditLost: boolean;
}

interface Served {
  readonly sequence: number;
  readonly nodes: number;
  readonly sentAtMs: number;
  readonly finishMs: number;
  readonly creditAtMs: number;
  readonly creditLost: boolean;
}

/** One server, first come first served, behind a link of fixed length; `slowness` times what the table says. */
function serve(orders: readonly Order[], linkMs: number, slowness = 1): Served[] {
  let [nowMs, freeAtMs] = [0, 0];
  return orders.map(({ afterMs, nodes, creditLost }, sequence) => {
    nowMs += afterMs;
    freeAtMs = Math.max(freeAtMs, nowMs + linkMs) + slowness * segmentMs(TABLE, nodes);
    return {
      sequence,
      nodes,
      creditLost,
      sentAtMs: nowMs,
      finishMs: freeAtMs,
      creditAtMs: freeAtMs + linkMs,
    };
  });
}

/** Called after each event, with the segments that have left by then. */
type Look = (nowMs: number, sent: readonly Served[]) => void;

/** Plays what was served into a forecast, in the order of time. */
function play(served: readonly Served[], stage: FirstStage, look: Look): void {
  const sent: Served[] = [];
  const send = (segment: Served) => {
    sent.push(segment);
    stage.sent(segment.sequence, segment.nodes, segment.sentAtMs, COSTS);
  };
  const events = served.flatMap((segment) => [
    { atMs: segment.sentAtMs, run: () => send(segment) },
    {
      atMs: segment.creditAtMs,
      run: () => {
        if (!segment.creditLost) stage.finished(segment.sequence, segment.creditAtMs, true);
      },
    },
  ]);
  for (const { atMs, run } of events.toSorted((a, b) => a.atMs - b.atMs)) {
    run();
    look(atMs, sent);
  }
}

const orders = (losses: boolean) =>
  fc.array(
    fc.record({
      afterMs: fc.integer({ min: 0, max: 60 }),
      nodes: fc.integer({ min: 1, max: 32 }),
      creditLost: losses ? fc.boolean() : fc.constant(false),
    }),
    { minLength: 1, maxLength: 40 },
  );
const links = fc.integer({ min: 0, max: 80 });

/** The first segment is alone, and the next one leaves after its credit: the link is known from then on. */
const LONELY: Order = { afterMs: 0, nodes: 1, creditLost: false };
const AFTER_IT: Order = { afterMs: 1000, nodes: 1, creditLost: false };

describe("FirstStage", () => {
  test("before anything was sent the stage is free, and the link is taken for short", () => {
    const { linkMs, freeAtMs, ahead, dueAtMs } = new FirstStage().view(5);
    expect({ linkMs, ahead, dueAtMs }).toEqual({ linkMs: 0, ahead: 0, dueAtMs: undefined });
    expect(freeAtMs).toBeLessThan(5);
  });

  test("foresees to the point when the stage will be free once it knows the link, credits lost or not", () => {
    fc.assert(
      fc.property(orders(true), links, (list, linkMs) => {
        const served = serve([LONELY, AFTER_IT, ...list], linkMs);
        const stage = new FirstStage();
        play(served, stage, (nowMs, sent) => {
          if (sent.length < 2) return;
          const view = stage.view(nowMs);
          expect(view.linkMs).toBeCloseTo(linkMs, 6);
          expect(view.freeAtMs).toBeCloseTo(sent.at(-1)!.finishMs, 6);
        });
      }),
    );
  });

  test("counts what a segment that leaves now would find there, and says when that is one", () => {
    fc.assert(
      fc.property(orders(true), links, (list, linkMs) => {
        const served = serve([LONELY, AFTER_IT, ...list], linkMs);
        const stage = new FirstStage();
        play(served, stage, (nowMs, sent) => {
          if (sent.length < 2) return;
          const aheadAt = (atMs: number) =>
            sent.filter(({ finishMs }) => finishMs > atMs + linkMs + 1e-6).length;
          const { ahead, dueAtMs } = stage.view(nowMs);
          expect(ahead === aheadAt(nowMs) || ahead === aheadAt(nowMs - 2e-6)).toBe(true);
          expect(dueAtMs === undefined).toBe(ahead < 2);
          if (dueAtMs === undefined) return;
          expect(dueAtMs).toBeGreaterThanOrEqual(nowMs - 1e-6);
          expect(aheadAt(dueAtMs)).toBe(1);
          expect(aheadAt(dueAtMs - 1e-3)).toBeGreaterThan(1);
        });
      }),
    );
  });

  test("a credit heals what was lost or misjudged before it: nothing up to it counts any more", () => {
    const slowness = fc.double({ min: 0.2, max: 5, noNaN: true });
    fc.assert(
      fc.property(orders(true), links, slowness, (list, linkMs, slow) => {
        const served = serve([...list, { ...LONELY, afterMs: 20 }], linkMs, slow);
        const stage = new FirstStage();
        play(served, stage, (nowMs, sent) => {
          const heard = sent.findLast(({ creditLost, creditAtMs }) => !creditLost && creditAtMs < nowMs);
          const pending = sent.filter(({ sequence }) => sequence > (heard?.sequence ?? -1));
          expect(stage.view(nowMs).ahead).toBeLessThanOrEqual(pending.length);
        });
        const endMs = served.at(-1)!.creditAtMs;
        expect(stage.view(endMs)).toMatchObject({ ahead: 0, dueAtMs: undefined });
        expect(stage.view(endMs).freeAtMs).toBeLessThanOrEqual(endMs);
      }),
    );
  });

  test("a credit of a segment that it does not know changes nothing", () => {
    const stage = new FirstStage();
    stage.sent(3, 8, 10, COSTS);
    const before = stage.view(11);
    stage.finished(2, 11, true);
    expect(stage.view(11)).toEqual(before);
  });

  test("after a reset nothing is ahead, and the link is still known", () => {
    const [first, second] = serve([LONELY, AFTER_IT], 30) as [Served, Served];
    const stage = new FirstStage();
    play([first], stage, () => {});
    stage.sent(1, 16, second.sentAtMs, COSTS);
    stage.reset();
    expect(stage.view(second.sentAtMs)).toMatchObject({ linkMs: 30, ahead: 0, dueAtMs: undefined });
    stage.sent(0, 1, 5000, COSTS);
    expect(stage.view(5000).freeAtMs).toBe(5034);
  });
});

test("when it is due to have one segment ahead, it has, whatever the numbers round to", () => {
  // Sevenths are never exact.
  const ms = fc.integer({ min: 0, max: 3000 }).map((count) => count / 7);
  fc.assert(
    fc.property(ms, ms, fc.array(ms, { minLength: 2, maxLength: 6 }), (linkMs, beginMs, gapsMs) => {
      const stage = new FirstStage();
      stage.sent(0, 1, beginMs, COSTS);
      stage.finished(0, beginMs + COSTS.stageMs(0, 1) + 2 * linkMs, true);
      let nowMs = beginMs + COSTS.stageMs(0, 1) + 2 * linkMs;
      for (const [i, gapMs] of gapsMs.entries()) {
        nowMs += gapMs / 1000;
        stage.sent(i + 1, 1, nowMs, COSTS);
      }
      const { dueAtMs } = stage.view(nowMs);
      if (dueAtMs === undefined) return;
      expect(dueAtMs).toBeGreaterThan(nowMs);
      const then = stage.view(dueAtMs);
      expect({ ahead: then.ahead <= 1, dueAtMs: then.dueAtMs }).toEqual({ ahead: true, dueAtMs: undefined });
    }),
    { numRuns: 2000 },
  );
});
