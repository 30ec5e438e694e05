import type { LinkModel } from "../../transport/link-model.ts";
import { table } from "../report-tables.ts";
import type { HopCost } from "./hop-costs.ts";
import type { LinkAgreement } from "./link-agreement.ts";
import type { MeshCost } from "./mesh-cost.ts";

/** The cost of the mesh as Markdown. */
export function renderMeshCost({ oneMachine, cable }: MeshCost): string {
  const parts = [
    "### Cost of one hop",
    "A segment from one stage to the next without the model: encode, the way, decode. On one machine the bytes are " +
      "those that go into the connection; across a cable, those of its packets. The nats-server is beside the receiver.",
    "One machine:",
    hopTable(oneMachine),
  ];
  if ("skipped" in cable) return [...parts, `Across a cable: skipped (${cable.skipped})`].join("\n\n");
  const { link, shaper, hops, agreement } = cable;
  const noDelay = shaper === "tbf" ? "; this kernel has no netem, so no delay" : "";
  return [
    ...parts,
    `Across a cable (two network namespaces, ${describe(link)} by ${shaper}${noDelay}):`,
    hopTable(hops),
    "### Links of the kernel and of the transport",
    `The same segments over NATS, across that cable and over a shaped link of ${describe(link)} within one machine; ` +
      "lower deciles of the time until the last segment was there.",
    agreementTable(agreement),
  ].join("\n\n");
}

const describe = ({ delayMs, mbps }: LinkModel): string =>
  [...(delayMs > 0 ? [`${delayMs} ms`] : []), ...(mbps === undefined ? [] : [`${mbps} Mbit/s`])].join(
    " and ",
  );

function hopTable(costs: readonly HopCost[]): string {
  const rows = costs.map(({ way, nodes, frameBytes, wireBytes, p50Ms, p99Ms }) => [
    way === "memory" ? "in memory" : way.toUpperCase(),
    String(nodes),
    String(frameBytes),
    wireBytes === undefined ? "–" : wireBytes.toFixed(0),
    p50Ms.toFixed(3),
    p99Ms.toFixed(3),
  ]);
  return table(["way", "nodes", "frame, bytes", "sent, bytes", "p50, ms", "p99, ms"], rows);
}

function agreementTable(agreement: readonly LinkAgreement[]): string {
  const rows = agreement.map(({ nodes, burst, kernelMs, transportMs, agrees }) => [
    String(nodes),
    String(burst),
    kernelMs.toFixed(2),
    transportMs.toFixed(2),
    `${Math.round((transportMs / kernelMs - 1) * 100)} %`,
    agrees ? "yes" : "no",
  ]);
  const head = [
    "nodes",
    "segments at once",
    "kernel, ms",
    "transport, ms",
    "difference",
    "within 10 % and 0.5 ms",
  ];
  return table(head, rows);
}
