import { quantile } from "../statistics.ts";
import type { NearTask } from "./end-tasks.ts";
import { type Prefix, runNearEnd } from "./ends.ts";
import { withNats } from "./hop-costs.ts";
import type { NetworkPair } from "./network-pair.ts";
import { acrossCable, ONE_MACHINE } from "./places.ts";

export interface AgreementPlan {
  readonly sizes: readonly number[];
  /** Elements of a row. */
  readonly width: number;
  readonly rounds: number;
  /** Segments sent at once: they wait for each other on a link. */
  readonly bursts: readonly number[];
  /** The nats-server program. */
  readonly natsServer: string;
}

/** How long the last of `burst` segments took, over the kernel's link and over the transport's. */
export interface LinkAgreement {
  readonly nodes: number;
  readonly burst: number;
  readonly kernelMs: number;
  readonly transportMs: number;
  readonly agrees: boolean;
}

/** By which the two kinds of links may differ: packet headers, and the kernel's first packets that go free. */
const SHARE_MAX = 0.1;
/** Besides, for threads that wake up late. */
const SLACK_MS = 0.5;
/** A round that something else disturbed says nothing of the link, so the quick ones are compared. */
const UNDISTURBED = 0.1;

/** Sends the same segments over NATS across the cable, and on one machine over a shaped link with its figures. */
export async function compareLinks(pair: NetworkPair, plan: AgreementPlan): Promise<LinkAgreement[]> {
  const { natsServer } = plan;
  const cable = acrossCable(pair);
  const kernel = await withNats(cable, natsServer, (meeting) => times(cable.near, plan, { meeting }));
  const transport = await withNats(ONE_MACHINE, natsServer, (meeting) =>
    times(ONE_MACHINE.near, plan, { meeting, link: pair.link }),
  );
  return kernel.map(({ nodes, burst, ms: kernelMs }, index) => {
    const transportMs = transport[index]?.ms ?? Number.NaN;
    const agrees = Math.abs(transportMs - kernelMs) <= SHARE_MAX * kernelMs + SLACK_MS;
    return { nodes, burst, kernelMs, transportMs, agrees };
  });
}

async function times(
  near: Prefix,
  { sizes, width, rounds, bursts }: AgreementPlan,
  task: Pick<NearTask, "meeting" | "link">,
) {
  const found: { nodes: number; burst: number; ms: number }[] = [];
  for (const burst of bursts) {
    const results = await runNearEnd(near, { ...task, sizes, width, rounds, burst });
    found.push(...results.map((result) => ({ ...result, burst, ms: quantile(result.times, UNDISTURBED) })));
  }
  return found;
}
