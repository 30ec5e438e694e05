import { mayPublish, NOTHING, type Plan, type Policy, type PolicyView } from "./policy.ts";

/** Plain decoding: each token goes through the pipeline alone, and the next one waits for it. The baseline. */
export class Autoregressive implements Policy {
  readonly name = "autoregressive";
  readonly rescore = false;

  rootMoved(): void {}

  plan(view: PolicyView): Plan {
    const { root } = view.tree;
    return root.sent || !mayPublish(view) ? NOTHING : { segment: [root] };
  }
}
