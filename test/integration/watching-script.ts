/**
 * What watching costs: `bun test/integration/watching-script.ts`. The same questions, watched and not, in turn, on
 * one mesh; the gateway's processor time is its own account of it.
 */

import { startMesh } from "../../bench/running-mesh.ts";
import { formatSpread, spreadOf } from "../../bench/statistics.ts";
import { eventData } from "../../http/event-data.ts";
import { readMetric } from "../gateway-metrics.ts";
import { answerEvents } from "./answer-events.ts";

const ROUNDS = 12;
const TOKENS = 96;
const NAME = crypto.randomUUID();

interface Measure {
  readonly tokensPerSecond: number;
  readonly cpuMicrosecondsPerToken: number;
}

const mesh = await startMesh(...process.argv.slice(2));
let events = 0;
let bytes = 0;

const gatewayCpuSeconds = () => readMetric(mesh.url, /^process_cpu_seconds_total ([\d.]+)$/m);

async function ask(round: number, watched: boolean): Promise<Measure> {
  const before = await gatewayCpuSeconds();
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: `Tell me something about the number ${round}.` }],
      ...{ temperature: 0.8, seed: round, max_tokens: TOKENS, stream: true },
      ...{ stream_options: { include_usage: true }, flowmesh: watched ? { live: NAME } : {} },
    }),
  });
  let [firstMs, lastMs, tokens] = [0, 0, 0];
  for await (const event of answerEvents(response)) {
    tokens += event.tokens;
    if (event.content === "") continue;
    lastMs = performance.now();
    firstMs ||= lastMs;
  }
  const cpuSeconds = (await gatewayCpuSeconds()) - before;
  return {
    tokensPerSecond: ((tokens - 1) * 1000) / (lastMs - firstMs),
    cpuMicrosecondsPerToken: (cpuSeconds * 1e6) / tokens,
  };
}

const leaving = new AbortController();
try {
  const live = await fetch(`${mesh.url}/live?name=${NAME}`, { signal: leaving.signal });
  const reading = (async () => {
    for await (const data of eventData(live.body ?? new ReadableStream())) {
      bytes += data.length;
      events += JSON.parse(data).length;
    }
  })().catch(() => {});
  await ask(0, true);
  await ask(0, false);
  [events, bytes] = [0, 0];
  const pairs: { watched: Measure; alone: Measure }[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    // Whoever goes first finds another machine: they take turns with that, too.
    const order = round % 2 === 0 ? [true, false] : [false, true];
    const measures = new Map<boolean, Measure>();
    for (const watched of order) measures.set(watched, await ask(round, watched));
    const [watched, alone] = [measures.get(true), measures.get(false)];
    if (watched && alone) pairs.push({ watched, alone });
  }
  const show = (name: string, values: readonly number[], digits: number) =>
    console.log(`${name}: ${formatSpread(spreadOf(values), digits)}`);
  show(
    "tokens/s, nobody watching",
    pairs.map(({ alone }) => alone.tokensPerSecond),
    1,
  );
  show(
    "tokens/s, watched / not",
    pairs.map(({ watched, alone }) => watched.tokensPerSecond / alone.tokensPerSecond),
    3,
  );
  show(
    "gateway's µs a token, nobody watching",
    pairs.map(({ alone }) => alone.cpuMicrosecondsPerToken),
    0,
  );
  show(
    "gateway's µs a token, watched",
    pairs.map(({ watched }) => watched.cpuMicrosecondsPerToken),
    0,
  );
  console.log(
    `${(events / ROUNDS / TOKENS).toFixed(1)} events and ${Math.round(bytes / ROUNDS / TOKENS)} bytes a token`,
  );
  leaving.abort();
  await reading;
} finally {
  leaving.abort();
  await mesh.stop();
}
