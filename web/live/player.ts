import { useEffect, useState } from "preact/hooks";
import type { Recording } from "./recording.ts";
import type { SessionView } from "./session-view.ts";

export const SPEEDS = [1, 0.5, 0.25, 0.1] as const;

/** Which moment of a recording is shown, and what moves it. */
export interface Player {
  readonly view: SessionView | undefined;
  readonly atMs: number;
  readonly lengthMs: number;
  /** Shows what happens now. */
  readonly isLive: boolean;
  readonly isRunning: boolean;
  readonly speed: number;
  pause(): void;
  /** Goes on from the moment shown, or from the beginning when that is the end. */
  play(): void;
  follow(): void;
  seek(atMs: number): void;
  setSpeed(speed: number): void;
}

interface Moment {
  readonly atMs: number;
  readonly isRunning: boolean;
}

/** A new recording is followed live, whatever was shown before. */
export function usePlayer(recording: Recording | undefined): Player {
  const [moment, setMoment] = useState<Moment | undefined>();
  const [speed, setSpeed] = useState<number>(1);
  useEffect(() => setMoment(undefined), [recording]);
  const isRunning = moment?.isRunning ?? false;
  useEffect(() => {
    if (!isRunning || recording === undefined) return;
    let lastMs = performance.now();
    let frame = requestAnimationFrame(function step(nowMs) {
      const passedMs = (nowMs - lastMs) * speed;
      lastMs = nowMs;
      setMoment((shown) => shown && advance(shown, passedMs, recording));
      frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [isRunning, recording, speed]);

  const lengthMs = recording?.lengthMs ?? 0;
  const atMs = moment?.atMs ?? lengthMs;
  return {
    view: moment === undefined ? recording?.live : recording?.viewAt(moment.atMs),
    atMs,
    lengthMs,
    isLive: moment === undefined,
    isRunning:
      moment === undefined ? recording !== undefined && recording.live.ended === undefined : isRunning,
    speed,
    pause: () => setMoment({ atMs, isRunning: false }),
    play: () => setMoment({ atMs: atMs >= lengthMs ? 0 : atMs, isRunning: true }),
    follow: () => setMoment(undefined),
    seek: (to) => setMoment({ atMs: to, isRunning: false }),
    setSpeed,
  };
}

/** Stops at the end. */
function advance({ atMs }: Moment, passedMs: number, { lengthMs }: Recording): Moment {
  const to = Math.min(lengthMs, atMs + passedMs);
  return { atMs: to, isRunning: to < lengthMs };
}
