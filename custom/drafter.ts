/** A token that may come next, and how likely that is. */
export interface Prediction {
  /** Of the model's vocabulary. */
  readonly token: number;
  /** Above 0; those of one prediction add up to 1 at most. */
  readonly probability: number;
}

/** Between text and the tokens of the mesh's model. */
export interface Tokenizer {
  /** Without tokens of a beginning or an end. */
  encode(text: string): number[];
  decode(tokens: readonly number[]): string;
  readonly vocabularySize: number;
}

/**
 * Called for each node of the draft tree that is to get children, so it has to be quick.
 * `tokens`: prompt, answer so far, and the guesses that lead to the node. Any order, empty where nothing is known.
 */
export type Predict = (tokens: Uint32Array) => readonly Prediction[];

export interface Drafter {
  readonly kind: "drafter";
  /** What requests call it: 1 to 48 of a-z, 0-9, "_" and "-"; not "none". */
  readonly name: string;
  /** For `nats micro ls`. */
  readonly description: string;
  /** Called once, when the model is known. */
  start(tokenizer: Tokenizer): Predict | Promise<Predict>;
}

/**
 * A drafter of one's own, for the default export of a file that `flowmesh run` starts. Requests choose it by
 * `"flowmesh": {"drafter": "<name>"}`. The target verifies every guess: a bad drafter makes an answer slow, never wrong.
 * @throws {TypeError} when the name can't be one.
 */
export function defineDrafter(drafter: Omit<Drafter, "kind">): Drafter {
  if (!/^[a-z0-9_-]{1,48}$/.test(drafter.name) || drafter.name === "none") {
    throw new TypeError(
      `a drafter can't be named "${drafter.name}": use 1 to 48 of a-z, 0-9, "_" and "-", and not "none"`,
    );
  }
  return { ...drafter, kind: "drafter" };
}
