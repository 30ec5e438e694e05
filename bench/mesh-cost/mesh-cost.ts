import type { LinkModel } from "../../transport/link-model.ts";
import { type HopCost, measureHops } from "./hop-costs.ts";
import { compareLinks, type LinkAgreement } from "./link-agreement.ts";
import { NetworkUnavailableError } from "./network-namespace.ts";
import { openNetworkPair } from "./network-pair.ts";
import { acrossCable, ONE_MACHINE } from "./places.ts";

/** What passing segments on costs, without any model. */
export interface MeshCost {
  readonly oneMachine: readonly HopCost[];
  readonly cable: CableCost | { readonly skipped: string };
}

/** Between two network namespaces that the kernel joins by a link of this kind. */
export interface CableCost {
  readonly link: LinkModel;
  readonly shaper: string;
  readonly hops: readonly HopCost[];
  /** How well the transport's own links copy the kernel's. */
  readonly agreement: readonly LinkAgreement[];
}

/** The default model's row. */
const WIDTH = 576;
const HOP_SIZES = [1, 16, 64];
const AGREEMENT_SIZES = [1, 4, 16, 64];
const BURSTS = [1, 4];
const LOCAL_ROUNDS = 2000;
const CABLE_ROUNDS = 300;
const AGREEMENT_ROUNDS = 50;
const CABLE: LinkModel = { delayMs: 1, mbps: 150 };

/** Takes about a minute; `natsServer` is the program. */
export async function measureMeshCost(natsServer: string): Promise<MeshCost> {
  const plan = { sizes: HOP_SIZES, width: WIDTH, natsServer };
  const oneMachine = await measureHops(ONE_MACHINE, { ...plan, rounds: LOCAL_ROUNDS });
  try {
    const pair = await openNetworkPair(CABLE);
    try {
      const { link, shaper } = pair;
      const hops = await measureHops(acrossCable(pair), { ...plan, rounds: CABLE_ROUNDS });
      const sizes = AGREEMENT_SIZES;
      const agreement = await compareLinks(pair, {
        ...plan,
        sizes,
        rounds: AGREEMENT_ROUNDS,
        bursts: BURSTS,
      });
      return { oneMachine, cable: { link, shaper, hops, agreement } };
    } finally {
      await pair.close();
    }
  } catch (error) {
    if (!(error instanceof NetworkUnavailableError)) throw error;
    return { oneMachine, cable: { skipped: error.message } };
  }
}
