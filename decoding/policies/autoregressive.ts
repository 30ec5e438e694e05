import {
  mayPublish,
  NOTHING,
  type Plan,
  type Policy,
  type PolicyDefinition,
  type PolicyView,
} from "./policy.ts";

export const autoregressive: PolicyDefinition = {
  name: "autoregressive",
  summary: "plain decoding: each token goes through the pipeline alone, and the next one waits for it",
  parameters: {},
  create: () => new Autoregressive(),
};

class Autoregressive implements Policy {
  readonly name = "autoregressive";
  readonly rescore = false;
  readonly prunes = true;

  rootMoved(): void {}

  plan(view: PolicyView): Plan {
    const { root } = view.tree;
    return root.sent || !mayPublish(view) ? NOTHING : { segment: [root] };
  }
}
