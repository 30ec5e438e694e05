import { decodeSegment, encodeSegment, type SegmentFrame } from "../../transport/frame.ts";
import type { FrameChannel } from "./frame-channel.ts";

/** Milliseconds of this process's clock on a scale that two processes of one machine nearly share. */
const nowMs = (): number => performance.timeOrigin + performance.now();

/** A body of one byte asks for the time alone. */
const PING = new Uint8Array(1);
const PINGS = 300;

/** The far end: takes each segment apart and answers with the time at which that was done. */
export function answerWithTimes(channel: FrameChannel): void {
  channel.onFrame((body) => {
    if (body.length > PING.length) decodeSegment({ body });
    channel.send(new Uint8Array(Float64Array.of(nowMs()).buffer), {});
  });
}

/** The near end: sends segments and learns how long each took until the far end had taken it apart. */
export class HopTimer {
  readonly #channel: FrameChannel;
  readonly #way: Pick<FrameChannel, "send">;
  readonly #answers: ((farMs: number) => void)[] = [];
  /** What the far end's clock shows more than this one's. */
  #aheadMs = 0;

  /** `way`: by which segments go, if not by the channel that the clocks are set over. */
  constructor(channel: FrameChannel, way: Pick<FrameChannel, "send"> = channel) {
    this.#channel = channel;
    this.#way = way;
    channel.onFrame((body) => this.#answers.shift()?.(new Float64Array(body.buffer, 0, 1)[0] ?? Number.NaN));
  }

  /** Sets the clocks by the quickest of many round trips, whose two ways took about as long. */
  async synchronise(): Promise<void> {
    let quickestMs = Number.POSITIVE_INFINITY;
    for (let ping = 0; ping < PINGS; ping++) {
      const begun = nowMs();
      const farMs = await this.#ask(() => this.#channel.send(PING, {}));
      const tripMs = nowMs() - begun;
      if (tripMs >= quickestMs) continue;
      quickestMs = tripMs;
      this.#aheadMs = farMs - (begun + tripMs / 2);
    }
  }

  /** Sends all at once; gives for each the milliseconds until it was there: encode, the way, decode. */
  async burst(frames: readonly SegmentFrame[]): Promise<number[]> {
    const begun = nowMs();
    const arrivals = frames.map((frame) =>
      this.#ask(() => {
        const { headers, body } = encodeSegment(frame, "f32");
        this.#way.send(body, headers);
      }),
    );
    return (await Promise.all(arrivals)).map((farMs) => farMs - this.#aheadMs - begun);
  }

  #ask(send: () => void): Promise<number> {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      send();
    });
  }
}

/** A segment as one stage sends it to the next. */
export function segmentOf(nodes: number, width: number): SegmentFrame {
  const count = (at: number) => Uint32Array.from({ length: nodes }, (_, i) => at + i);
  return {
    kind: "segment",
    epoch: 1,
    generation: 0,
    sequence: 1,
    committed: false,
    certain: 50,
    nodes: { ids: count(1), parents: count(0), tokens: count(100), positions: count(50) },
    rows: Float32Array.from({ length: nodes * width }, (_, i) => Math.sin(i)),
    width,
  };
}
