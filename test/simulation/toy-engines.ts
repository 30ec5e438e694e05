import type { Admission } from "../../decoding/live-rows.ts";
import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../../models/draft-engine.ts";
import type { RowCache, StageForward, StageMath, StageOutputs } from "../../models/stage-math.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import { embedToy, TOY, toyLayer, toyLogits, toyNextToken, toyStates } from "./toy-model.ts";

/** The toy's keys are its values: per layer, by KV row. */
class ToyCache implements RowCache {
  allocatedBytes = 0;
  readonly byLayer: number[][];

  constructor(layers: number) {
    this.byLayer = Array.from({ length: layers }, () => []);
  }

  grow(rows: number): void {
    this.allocatedBytes = rows;
  }

  copyFrom(source: ToyCache, rows: readonly number[]): void {
    source.byLayer.forEach((from, layer) => {
      rows.forEach((row, index) => {
        this.byLayer[layer]![index] = from[row]!;
      });
    });
  }
}

/** The toy model's layers behind the real stage engine, which keeps rows, masks and commits. */
export class ToyMath implements StageMath<ToyCache> {
  readonly hidden = 1;
  readonly bytesPerRow = 1;
  readonly #spec: StageSpec;

  constructor(spec: StageSpec) {
    this.#spec = spec;
  }

  get taps(): readonly number[] {
    return this.#spec.taps;
  }

  createCache(): ToyCache {
    return new ToyCache(this.#spec.endLayer - this.#spec.firstLayer);
  }

  async forward({ admission, hidden }: StageForward, cache: ToyCache): Promise<StageOutputs> {
    const { nodes } = admission;
    let states = Array.from(
      nodes.ids,
      (_, i) => hidden?.[i] ?? embedToy(nodes.tokens[i]!, nodes.positions[i]!),
    );
    const taps: Float32Array[] = [];
    for (let layer = this.#spec.firstLayer; layer < this.#spec.endLayer; layer++) {
      states = runLayer(layer, states, admission, cache.byLayer[layer - this.#spec.firstLayer]!);
      if (this.#spec.taps.includes(layer + 1)) taps.push(Float32Array.from(states));
    }
    return { hidden: Float32Array.from(states), taps };
  }

  async logits(hidden: Float32Array): Promise<Float32Array> {
    return toyLogits(hidden[0]!);
  }

  async close(): Promise<void> {}
}

function runLayer(layer: number, inputs: number[], admission: Admission, kv: number[]): number[] {
  const { rows, pastMask, newMask, nodes } = admission;
  const count = inputs.length;
  const capacity = count === 0 ? 0 : pastMask.length / count;
  const outputs = inputs.map((input, i) => {
    let attended = 0;
    for (let row = 0; row < capacity; row++) if (pastMask[i * capacity + row] === 0) attended += kv[row]!;
    for (let j = 0; j < count; j++) if (newMask[i * count + j] === 0) attended += inputs[j]!;
    return toyLayer(layer, input, attended, nodes.positions[i]!);
  });
  inputs.forEach((input, i) => {
    kv[rows[i]!] = input;
  });
  return outputs;
}

interface ToyDraft {
  tokens: number[];
  promptTokens: number;
  /** Positions whose rows have come, or were taken over. */
  fed: number;
  isKept: boolean;
}

/**
 * Guesses the toy target with a given skill. It also checks what it is fed: each feature row must be the
 * row that plain computation of the session's own tokens gives at that position.
 */
export class ToyDraftEngine implements DraftEngine {
  readonly taps = TOY.taps;
  readonly #skill: number;
  readonly #random: () => number;
  readonly #sessions = new Map<string, ToyDraft>();
  readonly wrongRows: string[] = [];

  constructor(skill: number, random: () => number) {
    this.#skill = skill;
    this.#random = random;
  }

  get sessions(): number {
    return [...this.#sessions.values()].filter(({ isKept }) => !isKept).length;
  }

  async begin(sid: string, tokens: Uint32Array, promptTokens = tokens.length): Promise<void> {
    this.#sessions.set(sid, { tokens: [...tokens], promptTokens, fed: 0, isKept: false });
  }

  async takeOver(sid: string, rows: number): Promise<number> {
    const session = this.#sessions.get(sid)!;
    const rowsOf = ({ tokens, fed }: ToyDraft) => {
      const differs = tokens.findIndex((token, index) => token !== session.tokens[index]);
      return Math.min(fed, Math.max(0, (differs < 0 ? tokens.length : differs) - 1));
    };
    const others = [...this.#sessions.values()].filter((other) => other !== session);
    const most = Math.max(0, ...others.map(rowsOf));
    if (most < rows) return most;
    session.fed = rows;
    return rows;
  }

  async keep(sid: string): Promise<void> {
    const session = this.#sessions.get(sid);
    if (session !== undefined) session.isKept = true;
  }

  loseKept(): void {
    for (const [sid, { isKept }] of this.#sessions) if (isKept) this.#sessions.delete(sid);
  }

  async extend({ session: sid, position, nextTokens, taps }: DraftContext): Promise<void> {
    const session = this.#sessions.get(sid);
    if (session === undefined) throw new Error("features of a session that was never begun");
    if (position !== session.fed) this.wrongRows.push(`row ${position} came when ${session.fed} was due`);
    nextTokens.forEach((token, i) => {
      session.tokens[position + i + 1] = token;
    });
    const states = toyStates(session.tokens.slice(0, position + nextTokens.length));
    TOY.taps.forEach((layer, tap) => {
      nextTokens.forEach((_, i) => {
        if (taps[tap]![i] !== states[layer]![position + i])
          this.wrongRows.push(`layer ${layer}, row ${position + i}`);
      });
    });
    session.fed = position + nextTokens.length;
  }

  async expand(request: DraftRequest, onFound?: (found: DraftCandidates) => void): Promise<DraftCandidates> {
    const { session: sid, growth, depth, topK, total, sampling } = request;
    const session = this.#sessions.get(sid);
    const parents: number[] = [];
    const tokens: number[] = [];
    const scores: number[] = [];
    const path = session === undefined ? [] : session.tokens.slice(0, session.fed + 1);
    let parent = -1;
    for (let level = 0; level <= depth && path.length > 0; level++) {
      const right = toyNextToken(path, session!.promptTokens, sampling);
      const best = this.#random() < this.#skill ? right : (right + 1) % TOY.vocab;
      for (let rank = 0; rank < Math.min(topK, 3); rank++) {
        parents.push(parent);
        tokens.push((best + rank * 3) % TOY.vocab);
        scores.push((parent < 0 ? 0 : scores[parent]!) - 0.2 - rank);
      }
      parent = tokens.length - Math.min(topK, 3);
      path.push(best);
    }
    const first = (count: number): DraftCandidates => ({
      parents: Int32Array.from(parents.slice(0, count)),
      tokens: Uint32Array.from(tokens.slice(0, count)),
      scores: Float32Array.from(scores.slice(0, count)),
    });
    if (growth === "best" && total > 2) onFound?.(first(2));
    return first(total);
  }

  async release(sid: string): Promise<void> {
    this.#sessions.delete(sid);
  }

  async close(): Promise<void> {}
}
