import { NO_NODE, type NodeId, type TokenId } from "./ids.ts";
import type { SegmentNodes, Walk } from "./segment.ts";

/** When a session is over, as every actor decides it alike. */
export interface EndRule {
  /** Token ids that end the session; such a token is still committed. */
  readonly stopTokens: readonly number[];
  /** Absolute position of the last token that may be committed. */
  readonly lastPosition: number;
}

export function endsAt(rule: EndRule, token: number, position: number): boolean {
  return position >= rule.lastPosition || rule.stopTokens.includes(token);
}

/** Gives the target's token after the node at this index of the segment. */
export type TargetToken = (index: number, position: number) => Promise<TokenId>;

/**
 * Step-wise verification (FlowSpec, algorithm part A3, with the tree's next token always known): the walk
 * stands on the last accepted node and knows the target's token after it. Whenever nodes arrive it goes on
 * to the child with that token, and asks for the target's next token only there. No other node's logits
 * are ever needed, so a segment costs as many LM-head rows as it has accepted nodes.
 */
export class Verification {
  readonly #rule: EndRule;
  #head: NodeId = NO_NODE;
  #expected: TokenId | undefined;
  #ended = false;
  #certain = 0;

  constructor(rule: EndRule) {
    this.#rule = rule;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Tokens that are certain so far, the prompt's included; 0 before the walk has begun. */
  get certain(): number {
    return this.#certain;
  }

  /** Begins at the last node of the prompt (index in `nodes`), which is certain. */
  async begin(nodes: SegmentNodes, index: number, target: TargetToken): Promise<Walk> {
    return this.#follow(nodes, index, target);
  }

  /** Verifies what arrived; undefined when the walk does not move. */
  async advance(nodes: SegmentNodes, target: TargetToken): Promise<Walk | undefined> {
    if (this.#ended) return undefined;
    const first = this.#successor(nodes, 0);
    return first < 0 ? undefined : this.#follow(nodes, first, target);
  }

  async #follow(nodes: SegmentNodes, first: number, target: TargetToken): Promise<Walk> {
    const accepted: NodeId[] = [];
    const tokens: TokenId[] = [];
    for (let index = first; index >= 0; index = this.#successor(nodes, index + 1)) {
      const position = nodes.positions[index]! + 1;
      const token = await target(index, position);
      this.#head = nodes.ids[index]! as NodeId;
      this.#expected = token;
      this.#certain = position + 1;
      accepted.push(this.#head);
      tokens.push(token);
      if (endsAt(this.#rule, token, position)) {
        this.#ended = true;
        break;
      }
    }
    return { nodes: accepted, tokens, position: nodes.positions[first]! + 1 };
  }

  #successor(nodes: SegmentNodes, from: number): number {
    for (let index = from; index < nodes.ids.length; index++) {
      if (nodes.parents[index] === this.#head && nodes.tokens[index] === this.#expected) return index;
    }
    return -1;
  }
}
