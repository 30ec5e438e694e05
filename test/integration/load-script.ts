/**
 * Many streams at once, then many clients that leave; says what clients saw, what memory and files the processes hold, and
 * what processor time each takes a token:
 *
 *   bun test/integration/load-script.ts [streams] [minutes] [leavers] [up's own options]
 *
 * `--kv-memory 32MB` is so little that stages reach what they may keep within half a minute.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listActors, memoryOf } from "../../bench/mesh-inventory.ts";
import { startMesh } from "../../bench/running-mesh.ts";
import { quantile } from "../../bench/statistics.ts";
import { connectNats } from "../../transport/nats.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";
import { cancelledSessions, heldSessions, leave, load, openFilesOf, processorMs } from "./load.ts";

const [streams = 64, minutes = 5, leavers = 1000] = process.argv.slice(2, 5).map(Number);
const upOptions = process.argv.slice(5);
const PROMPTS = ["What is a pipeline?", "Name three rivers.", "Why is the sky blue?", "Tell me about seven."];
const IDLE_MS = 5000;
const TELL_EVERY_S = Math.max(1, Math.round((minutes * 60) / 10));

const folder = await mkdtemp(join(tmpdir(), "flowmesh-load-"));
const model = join(folder, "small.gguf");
// So small that it is the gateway, the mesh and the actors that work, and not the model.
await writeTinyGguf(model, { layers: 4, contextLength: 2048 });
const mesh = await startMesh("--stages", "2", "--model", model, "--drafter", "ngram", ...upOptions);
const nats = await connectNats({ url: mesh.natsUrl, name: "load" });
try {
  const actors = (await listActors(nats)).map(({ name, metadata }) => [name, Number(metadata.pid)] as const);
  const processes: (readonly [string, number])[] = [["up", mesh.pid], ...actors];
  const rows: string[] = [];
  const row = (label: string) => {
    const cells = processes.map(([, pid]) => {
      return `${memoryOf(pid).residentMiB.toFixed(0)} / ${openFilesOf(pid)}`;
    });
    rows.push(`| ${label} | ${cells.join(" | ")} |`);
  };
  row("at the start");
  /** Processor time of each process while `work` runs, milliseconds. */
  const measured = async <T>(work: Promise<T>) => {
    const [beganMs, before] = [performance.now(), processes.map(([, pid]) => processorMs(pid))];
    const result = await work;
    const seconds = (performance.now() - beganMs) / 1000;
    const usedMs = processes.map(([, pid], index) => processorMs(pid) - (before[index] ?? 0));
    return { result, seconds, usedMs };
  };
  const idle = await measured(Bun.sleep(IDLE_MS));
  let seconds = 0;
  const loaded = await measured(
    load(mesh, {
      ...{ streams, forMs: minutes * 60_000, maxTokens: 64, prompts: PROMPTS },
      onTick() {
        if (++seconds % TELL_EVERY_S === 0) row(`after ${seconds} s`);
      },
    }),
  );
  const report = loaded.result;
  const ms = (values: readonly number[], fraction: number) =>
    quantile(
      values.toSorted((a, b) => a - b),
      fraction,
    ).toFixed(1);
  const { firstTokenMs: first, betweenMs: between } = report;
  console.log(
    `${streams} streams for ${minutes} min: ${report.requests} requests, ${report.tokens} tokens, ${report.failures.length} failed; ` +
      `first token p50 ${ms(first, 0.5)} ms, p99 ${ms(first, 0.99)} ms; between tokens p50 ${ms(between, 0.5)} ms, p99 ${ms(between, 0.99)} ms`,
  );
  for (const failure of new Set(report.failures)) console.log(`failed: ${failure}`);
  const cancelledBefore = await cancelledSessions(mesh);
  const leaving = await leave(mesh, {
    ...{ count: leavers, lanes: streams, prompts: PROMPTS, maxTokens: 256, piecesMax: 64 },
    withinMs: Number(ms(first, 0.5)) * 8,
  });
  await Bun.sleep(10_000);
  row(`10 s after ${leavers} left`);
  console.log(
    `${leaving.left} of ${leaving.asked} clients left before the ends of their answers, ${leaving.leftUnheard} of them ` +
      `before any text, ${leaving.failures.length} failed; the gateway cancelled ` +
      `${(await cancelledSessions(mesh)) - cancelledBefore} sessions`,
  );
  for (const failure of new Set(leaving.failures)) console.log(`failed: ${failure}`);
  console.log(`held 10 s after the last: ${JSON.stringify(await heldSessions(nats))}`);
  console.log(`\n| MiB / open files | ${processes.map(([name]) => name).join(" | ")} |`);
  console.log(`| --- |${" --- |".repeat(processes.length)}`);
  for (const text of rows) console.log(text);
  const costs = loaded.usedMs.map((ms, index) => {
    const idleMs = ((idle.usedMs[index] ?? 0) / idle.seconds) * loaded.seconds;
    return ((1000 * (ms - idleMs)) / report.tokens).toFixed(0);
  });
  console.log(`| µs of processor a token, without what they take when idle | ${costs.join(" | ")} |`);
} finally {
  await nats.close();
  await mesh.stop();
  await rm(folder, { recursive: true });
}
