/**
 * Clients that leave in the middle of a prompt or an answer: time from there until the last of stages, drafter,
 * tree manager and gateway has let go of the session. Each actor is asked again as soon as it has answered, so that a
 * figure is at most one round trip too high.
 *
 *   bun test/integration/leaving-script.ts [--stages 4] [--times 100] [up's own options after --]
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { listActors } from "../../bench/mesh-inventory.ts";
import { readPrompts } from "../../bench/prompts.ts";
import { startMesh } from "../../bench/running-mesh.ts";
import { quantile } from "../../bench/statistics.ts";
import { connectNats } from "../../transport/nats.ts";
import { activeSessions } from "../gateway-metrics.ts";

const { values, positionals } = parseArgs({
  options: {
    stages: { type: "string", default: "4" },
    times: { type: "string", default: "100" },
  },
  allowPositionals: true,
});
const STATS_TIMEOUT_MS = 10_000;
const decoder = new TextDecoder();
const prompts = await readPrompts(join(import.meta.dir, "../../bench/prompts.jsonl"));

/** No two begin alike, so that each prompt is computed. */
const question = (number: number): string => `${number}: ${prompts[number % prompts.length]!.turns[0]!}`;

const mesh = await startMesh("--stages", values.stages, ...positionals);
const nats = await connectNats({ url: mesh.natsUrl, name: "leaving" });

/** Sessions that the actor holds, by its own account. */
async function held(subject: string): Promise<number> {
  const { body } = await nats.request(subject, new Uint8Array(0), { timeoutMs: STATS_TIMEOUT_MS });
  const { endpoints } = JSON.parse(decoder.decode(body)) as { endpoints: { data?: { sessions: number } }[] };
  return endpoints.find(({ data }) => data !== undefined)?.data?.sessions ?? 0;
}

const holders = (await listActors(nats))
  .filter(({ name }) => /^(stage-\d+|drafter)$/.test(name))
  .map(({ name }) => [name, () => held(`$SRV.STATS.${name}`)] as const);
const asked: (readonly [string, () => Promise<number>])[] = [
  ...holders,
  ["gateway", () => activeSessions(mesh.url)],
];
const times = new Map<string, number[]>();
const note = (name: string, ms: number) => times.set(name, [...(times.get(name) ?? []), ms]);

for (let number = 0; number < Number(values.times); number++) {
  const leaving = new AbortController();
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: question(number) }],
      ...{ stream: true, max_tokens: 500, seed: number },
    }),
    signal: leaving.signal,
  });
  const reader = response.body?.getReader();
  // Some leave while the prompt is computed, some later.
  await Bun.sleep(37 * (number % 11));
  for (let part = 0; part < number % 8; part++) await reader?.read();
  const ended = Promise.withResolvers<number>();
  const subscription = nats.subscribe(`flow.${mesh.mesh}.session.*.end`, () =>
    ended.resolve(performance.now()),
  );
  await nats.flush();
  const leftMs = performance.now();
  leaving.abort();
  const letGo = async (name: string, count: () => Promise<number>) => {
    while ((await count()) > 0);
    const ms = performance.now() - leftMs;
    note(name, ms);
    return ms;
  };
  const tree = ended.promise.then((atMs) => {
    note("tree manager", atMs - leftMs);
    return atMs - leftMs;
  });
  const all = await Promise.all([tree, ...asked.map(([name, count]) => letGo(name, count))]);
  note("the last of them", Math.max(...all));
  subscription.unsubscribe();
}
await nats.close();
await mesh.stop();

console.log("actor | p50, ms | p99, ms | most, ms");
for (const [name, all] of times) {
  const sorted = all.toSorted((a, b) => a - b);
  const row = [quantile(sorted, 0.5), quantile(sorted, 0.99), sorted.at(-1) ?? Number.NaN];
  console.log([name, ...row.map((ms) => ms.toFixed(1))].join(" | "));
}
