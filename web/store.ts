import { useEffect, useState } from "preact/hooks";

/** One value that parts of the page read and follow. */
export interface Store<Value> {
  readonly value: Value;
  set(value: Value): void;
  /** Returns what ends it. */
  follow(listener: () => void): () => void;
}

export function createStore<Value>(initial: Value): Store<Value> {
  const listeners = new Set<() => void>();
  let value = initial;
  return {
    get value() {
      return value;
    },
    set(next) {
      value = next;
      for (const listener of listeners) listener();
    },
    follow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** The store's value; the component is drawn again when it changes, at most once a frame. */
export function useStore<Value>(store: Store<Value>): Value {
  const [, redraw] = useState({});
  useEffect(() => {
    let frame: number | undefined;
    const end = store.follow(() => {
      frame ??= requestAnimationFrame(() => {
        frame = undefined;
        redraw({});
      });
    });
    // It may have changed between the first drawing and now.
    redraw({});
    return () => {
      end();
      if (frame !== undefined) cancelAnimationFrame(frame);
    };
  }, [store]);
  return store.value;
}
