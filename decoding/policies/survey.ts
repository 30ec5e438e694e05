import {
  type DraftSize,
  mayPublish,
  NOTHING,
  type Plan,
  type Policy,
  type PolicyDefinition,
  type PolicyView,
} from "./policy.ts";

export const survey: PolicyDefinition = {
  name: "survey",
  summary:
    "plain decoding that first asks for a large tree below every token and sends none of it, to record",
  parameters: {
    total: 200,
    topK: 10,
    /** Nodes of a level that are deepened. */
    batch: 10,
    depth: 7,
    /** 1: rank by the noise that the target will add, too. */
    coupled: 1,
  },
  create: (parameters) => new Survey(parameters),
};

/** Sends each root alone, once the drafter has told what it guesses below it. */
class Survey implements Policy {
  readonly name = "survey";
  readonly rescore = false;
  readonly prunes = true;
  readonly #size: DraftSize;
  #asks = true;

  constructor({ total = 1, topK = 1, batch = 1, depth = 0, coupled = 0 }: Readonly<Record<string, number>>) {
    this.#size = { growth: "level", topK, batch, depth, total, minProbability: 0, coupled: coupled > 0 };
  }

  rootMoved(): void {
    this.#asks = true;
  }

  plan(view: PolicyView): Plan {
    if (this.#asks && view.canDraft) {
      this.#asks = false;
      return { segment: [], expand: this.#size };
    }
    const { root } = view.tree;
    return view.drafting || root.sent || !mayPublish(view) ? NOTHING : { segment: [root] };
  }
}
