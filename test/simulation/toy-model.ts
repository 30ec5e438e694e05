import type { PositionLogprobs } from "../../decoding/log-probs.ts";
import type { SamplingParams } from "../../decoding/sampling-params.ts";
import { naiveLogprobs } from "../decoding/naive-logprobs.ts";
import { naiveSample } from "../decoding/naive-sampling.ts";

/**
 * A model small enough to be computed by hand: integers for hidden states, and every layer adds up what
 * the node may attend to. A wrong row, mask, position or order changes the result, so plain decoding of
 * the whole sequence from scratch is an exact oracle for any pipeline.
 */
export const TOY = { layers: 6, vocab: 11, taps: [2, 4] as readonly number[] };

const MODULUS = 65_521;

export const embedToy = (token: number, position: number): number =>
  (token * 7919 + position * 104_729 + 17) % MODULUS;

/** Output of a layer for a node, from its input and the sum of the inputs that it attends to. */
export const toyLayer = (layer: number, input: number, attended: number, position: number): number =>
  (input * 31 + (attended % MODULUS) * 137 + layer * 4409 + position * 13) % MODULUS;

/** [vocab] */
export function toyLogits(hidden: number): Float32Array {
  return Float32Array.from({ length: TOY.vocab }, (_, token) => {
    const mixed = Math.imul((hidden + 1) * 2654435761, (token + 3) * 40503) >>> 0;
    return (mixed % 1009) / 200 - 2;
  });
}

/** Hidden state of the last token after each layer (index 0: embedding), from the whole sequence. */
export function toyStates(tokens: readonly number[]): number[][] {
  let states = tokens.map(embedToy);
  const byLayer = [states];
  for (let layer = 0; layer < TOY.layers; layer++) {
    let attended = 0;
    states = states.map((input, position) => {
      attended += input;
      return toyLayer(layer, input, attended, position);
    });
    byLayer.push(states);
  }
  return byLayer;
}

/** `tokens`: prompt and answer so far; the first `promptTokens` are the prompt. */
export function toyNextToken(
  tokens: readonly number[],
  promptTokens: number,
  sampling: SamplingParams,
  allowed?: readonly number[],
): number {
  const last = toyStates(tokens)[TOY.layers]!.at(-1)!;
  const path = { prompt: tokens.slice(0, promptTokens), answer: tokens.slice(promptTokens) };
  const logits = toyLogits(last).map((logit, token) =>
    (allowed?.includes(token) ?? true) ? logit : Number.NEGATIVE_INFINITY,
  );
  return naiveSample(logits, sampling, tokens.length, path);
}

/** What plain decoding gives after the prompt: at most `count` tokens, ending with a stop token. */
export function plainDecoding(
  prompt: readonly number[],
  sampling: SamplingParams,
  end: { count: number; stopTokens: readonly number[] },
  allowedAfter?: (answer: readonly number[]) => readonly number[],
): number[] {
  const path = [...prompt];
  while (path.length < prompt.length + end.count) {
    const allowed = allowedAfter?.(path.slice(prompt.length));
    const token = toyNextToken(path, prompt.length, sampling, allowed);
    path.push(token);
    if (end.stopTokens.includes(token)) break;
  }
  return path.slice(prompt.length);
}

/** What the target held of each token of `answer` when it chose it. */
export const plainLogprobs = (
  prompt: readonly number[],
  answer: readonly number[],
  topCount: number,
): PositionLogprobs[] =>
  answer.map((token, index) => {
    const states = toyStates([...prompt, ...answer.slice(0, index)]);
    return naiveLogprobs(toyLogits(states[TOY.layers]!.at(-1)!), token, topCount);
  });
