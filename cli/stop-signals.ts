const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** By convention, 128 and the signal's number. */
const EXIT_CODES: Record<(typeof STOP_SIGNALS)[number], number> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

export interface StopSignals {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** Exit code of the signal that came; undefined before. */
  readonly exitCode: number | undefined;
  release(): void;
}

/** The first Ctrl-C (or SIGTERM, SIGHUP) asks for a clean stop, the second one calls `force`. */
export function listenForStop(force: (exitCode: number) => void): StopSignals {
  const abort = new AbortController();
  let exitCode: number | undefined;
  const listeners = STOP_SIGNALS.map((name) => {
    const listener = () => {
      if (abort.signal.aborted) force(EXIT_CODES[name]);
      exitCode = EXIT_CODES[name];
      abort.abort();
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  return {
    signal: abort.signal,
    get exitCode() {
      return exitCode;
    },
    release: () => {
      for (const remove of listeners) remove();
    },
  };
}
