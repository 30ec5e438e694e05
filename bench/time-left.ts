import type { Progress } from "../cli/progress.ts";

/** Shows a step's progress with the time that it will still take, if it goes on as it went. */
export function showRemaining(progress: Progress): (fraction: number) => void {
  const begunMs = performance.now();
  return (fraction) => {
    const spentMs = performance.now() - begunMs;
    progress.advance(fraction, `${formatDuration((spentMs / fraction) * (1 - fraction))} left`);
  };
}

/** "40 s", "12 min" or "2 h 5 min". */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
