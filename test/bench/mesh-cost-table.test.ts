import { expect, test } from "bun:test";
import { renderMeshCost } from "../../bench/mesh-cost/mesh-cost-table.ts";

const oneMachine = [
  { way: "memory", nodes: 1, frameBytes: 2360, p50Ms: 0.01, p99Ms: 0.02 },
  { way: "nats", nodes: 64, frameBytes: 148_520, wireBytes: 148_700.4, p50Ms: 0.3411, p99Ms: 4.5 },
] as const;

test("the cost of the mesh says why the cable was left out", () => {
  const text = renderMeshCost({ oneMachine, cable: { skipped: "network namespaces need root" } });
  expect(text).toContain("| in memory | 1 | 2360 | – | 0.010 | 0.020 |");
  expect(text).toContain("| NATS | 64 | 148520 | 148700 | 0.341 | 4.500 |");
  expect(text).toContain("Across a cable: skipped (network namespaces need root)");
});

test("the cost of the mesh says what the kernel's link is, and how well the transport copies it", () => {
  const agreement = [{ nodes: 16, burst: 4, kernelMs: 8.5, transportMs: 8.33, agrees: true }];
  const cable = { hops: oneMachine, agreement };
  const tbf = { link: { delayMs: 0, mbps: 150 }, shaper: "tbf", ...cable };
  const text = renderMeshCost({ oneMachine, cable: tbf });
  expect(text).toContain("150 Mbit/s by tbf; this kernel has no netem, so no delay");
  expect(text).toContain("| 16 | 4 | 8.50 | 8.33 | -2 % | yes |");
  const netem = { link: { delayMs: 1, mbps: 150 }, shaper: "netem", ...cable };
  expect(renderMeshCost({ oneMachine, cable: netem })).toContain(
    "(two network namespaces, 1 ms and 150 Mbit/s by netem)",
  );
});
