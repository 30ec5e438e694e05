import { join } from "node:path";
import { decodeSegment, encodeSegment } from "../transport/frame.ts";
import { stageSubject } from "../transport/subjects.ts";
import type { Transport } from "../transport/transport.ts";
import { quantile } from "./statistics.ts";

export interface HopCost {
  readonly nodes: number;
  readonly bytes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const WARM_UP = 200;
const ROUNDS = 2000;
const MESH = "bench-hop";

/**
 * Time that a segment of these sizes spends outside the model between two stages: encode, NATS, decode.
 * Half of a round trip to another process that decodes the segment and sends it back encoded anew.
 */
export async function measureHops(
  natsUrl: string,
  transport: Transport,
  options: { readonly sizes: readonly number[]; readonly width: number },
): Promise<HopCost[]> {
  const there = stageSubject(MESH, 1, 0, "hop");
  const back = stageSubject(MESH, 1, 1, "hop");
  const echo = Bun.spawn([process.execPath, join(import.meta.dir, "hop-echo.ts"), natsUrl, there, back], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  try {
    await echo.stdout.getReader().read();
    const costs: HopCost[] = [];
    for (const nodes of options.sizes)
      costs.push(await measure(transport, { there, back, nodes, width: options.width }));
    return costs;
  } finally {
    await echo.stdin.end();
    await echo.exited;
  }
}

async function measure(
  transport: Transport,
  { there, back, nodes, width }: { there: string; back: string; nodes: number; width: number },
): Promise<HopCost> {
  const count = (at: number) => Uint32Array.from({ length: nodes }, (_, i) => at + i);
  const frame = {
    kind: "segment",
    epoch: 1,
    generation: 0,
    sequence: 1,
    committed: false,
    nodes: { ids: count(1), parents: count(0), tokens: count(100), positions: count(50) },
    rows: Float32Array.from({ length: nodes * width }, (_, i) => Math.sin(i)),
    width,
  } as const;
  let arrived: () => void = () => {};
  const subscription = transport.subscribe(back, (message) => {
    decodeSegment(message);
    arrived();
  });
  const times: number[] = [];
  let bytes = 0;
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    arrived = resolve;
    const begun = performance.now();
    const { headers, body } = encodeSegment(frame, "f32");
    transport.publish(there, body, headers);
    await promise;
    if (round >= WARM_UP) times.push((performance.now() - begun) / 2);
    bytes = body.length;
  }
  subscription.unsubscribe();
  times.sort((a, b) => a - b);
  return { nodes, bytes, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
}
