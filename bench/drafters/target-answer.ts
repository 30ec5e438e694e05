import { NO_NODE, type TokenId, tokenId } from "../../decoding/ids.ts";
import { NO_COUNTS } from "../../decoding/path-tokens.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import type { StageEngine } from "../../models/stage-engine.ts";

/** Prompt tokens that go through the model at once. */
const CHUNK_TOKENS = 64;

export interface AnswerOrder {
  readonly prompt: Uint32Array;
  /** 0 is greedy. Nothing but temperature and seed shapes the answer. */
  readonly temperature: number;
  readonly seed: number;
  readonly maxTokens: number;
  readonly stopTokens: readonly number[];
}

/** The target's answer, with what a draft head reads of it. */
export interface TargetAnswer {
  readonly prompt: Uint32Array;
  /** Its stop token included, where it came to one. */
  readonly tokens: readonly number[];
  /** By 1-based layer: rows [prompt + tokens − 1, hidden], one for each position but the last token's. */
  readonly rows: ReadonlyMap<number, Float32Array>;
}

/** Plain decoding by an engine that holds the whole model, as one stage. */
export async function answerOf(target: StageEngine, order: AnswerOrder): Promise<TargetAnswer> {
  const { prompt, maxTokens, stopTokens, temperature, seed } = order;
  const session = `answer-${crypto.randomUUID()}`;
  const sampling = { ...GREEDY, temperature, seed };
  const tapped = new Map<number, Float32Array[]>();
  const text = [...prompt];
  /** Runs the tokens from `start` on; gives the target's token after the last. */
  const advance = async (start: number, end: number): Promise<TokenId> => {
    const ids = Uint32Array.from({ length: end - start }, (_, i) => start + i);
    const parents = ids.map((id) => (id === 0 ? NO_NODE : id - 1));
    const nodes = { ids, parents, tokens: Uint32Array.from(text.slice(start, end)), positions: ids };
    const { hidden, taps } = await target.run({ session, nodes, committed: true });
    for (const { layer, rows } of taps) tapped.set(layer, [...(tapped.get(layer) ?? []), rows]);
    if (end < text.length) return tokenId(0);
    const row = hidden.slice(hidden.length - hidden.length / ids.length);
    return (await target.nextToken(row, sampling, end, NO_COUNTS)).token;
  };
  try {
    let next = tokenId(0);
    for (let start = 0; start < prompt.length; start += CHUNK_TOKENS) {
      next = await advance(start, Math.min(prompt.length, start + CHUNK_TOKENS));
    }
    text.push(next);
    while (text.length < prompt.length + maxTokens && !stopTokens.includes(next)) {
      next = await advance(text.length - 1, text.length);
      text.push(next);
    }
  } finally {
    await target.release(session);
  }
  const rows = new Map(Array.from(tapped, ([layer, parts]) => [layer, joined(parts)]));
  return { prompt, tokens: text.slice(prompt.length), rows };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
