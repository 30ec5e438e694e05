interface Kept<Compiled> {
  readonly compiled: Promise<Compiled>;
  users: number;
}

/** A compiled grammar that is not disposed before `release`, which is to be called once. */
export interface GrammarLease<Compiled> {
  readonly compiled: Compiled;
  release(): void;
}

/**
 * Compiled grammars by their text. Those in use are all here; of those that nobody uses, the ones that were
 * given back last stay, and the others are disposed.
 */
export class CompiledGrammars<Compiled extends { dispose(): void }> {
  readonly #compile: (grammar: string) => Promise<Compiled>;
  readonly #idleMax: number;
  /** By text; those that nobody uses in the order in which they were given back. */
  readonly #kept = new Map<string, Kept<Compiled>>();

  /** `idleMax`: how many that nobody uses are kept. */
  constructor(compile: (grammar: string) => Promise<Compiled>, idleMax: number) {
    this.#compile = compile;
    this.#idleMax = idleMax;
  }

  /** Compiles it unless it is kept. Rejects as `compile` does, and then tries anew the next time. */
  async take(grammar: string): Promise<GrammarLease<Compiled>> {
    const kept = this.#kept.get(grammar) ?? { compiled: this.#compile(grammar), users: 0 };
    this.#kept.set(grammar, kept);
    kept.users++;
    try {
      return { compiled: await kept.compiled, release: () => this.#giveBack(grammar, kept) };
    } catch (error) {
      if (this.#kept.get(grammar) === kept) this.#kept.delete(grammar);
      throw error;
    }
  }

  #giveBack(grammar: string, kept: Kept<Compiled>): void {
    kept.users--;
    if (kept.users > 0) return;
    this.#kept.delete(grammar);
    this.#kept.set(grammar, kept);
    const idle = [...this.#kept].filter(([, { users }]) => users === 0);
    for (const [text, { compiled }] of idle.slice(0, Math.max(0, idle.length - this.#idleMax))) {
      this.#kept.delete(text);
      void compiled.then((one) => one.dispose());
    }
  }
}
