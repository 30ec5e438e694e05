import { availableParallelism } from "node:os";
import type { HostAgent } from "../actors/host/agent.ts";
import { bucketOf, KEYS, type MeshRecord } from "../actors/mesh/records.ts";
import { encodeJson } from "../actors/messages.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import { SessionClient } from "../actors/session-client.ts";
import { GREEDY } from "../decoding/sampling-params.ts";
import { loadModelText } from "../models/model-text.ts";
import { version } from "../package.json" with { type: "json" };
import type { KeyValue } from "../transport/key-value.ts";
import type { NatsTransport } from "../transport/nats.ts";
import { deleteBucket, openNatsKeyValue } from "../transport/nats-key-value.ts";
import { servesAlone } from "./mesh-host.ts";
import type { Progress } from "./progress.ts";
import { candidateSplits, fastestSplit, RememberedSplits, type Split, type TriedSplit } from "./split.ts";
import type { UpOptions } from "./up-options.ts";

/** Text of some everyday kind, since how well it is guessed counts too. */
const PROMPT =
  "Explain step by step how rain comes about, and why it falls on one side of a mountain more often.";
const TOKENS = 64;
/** The first answer warms everything up. */
const ANSWERS = 3;
const POLL_MS = 20;

/** As asked for, or the fastest on this machine: found by trial, once for what it depends on. */
export async function chooseSplit(
  options: UpOptions,
  { progress, cache }: { readonly progress: Progress; readonly cache: string },
  trial: SplitTrialOptions,
): Promise<Split> {
  const cores = availableParallelism();
  const { stages, threads } = options;
  if (stages !== "auto") {
    return { stages, threads: threads ?? Math.max(1, Math.floor(cores / Math.max(1, stages))) };
  }
  progress.begin("split");
  const { numerics, policy, drafter, draftHead, device, link } = options;
  const { sha256 } = trial.mesh.model;
  const identity = JSON.stringify([
    version,
    sha256,
    cores,
    numerics,
    policy,
    drafter,
    draftHead,
    device,
    link,
  ]);
  const remembered = new RememberedSplits(cache);
  const known = await remembered.get(identity);
  const tried: TriedSplit[] = [];
  const candidates = known === undefined ? candidateSplits(cores, trial.mesh.model.layers) : [];
  for (const [i, candidate] of candidates.entries()) {
    progress.advance(i / candidates.length);
    tried.push(await trySplit(candidate, trial));
  }
  const split = known ?? fastestSplit(tried);
  if (known === undefined) await remembered.set(identity, split);
  const rates = tried.map(
    (one) => `${one.stages} × ${one.threads}: ${one.tokensPerSecond.toFixed(1)} tokens/s`,
  );
  const how = known === undefined ? rates.join(", ") : "as found before";
  progress.done(`${split.stages} × ${split.threads} (stages × threads; ${how})`);
  return split;
}

/** A host with this split, which has not joined yet. */
export interface TrialHost {
  readonly agent: HostAgent;
  stop(): Promise<void>;
}

interface SplitTrialOptions {
  readonly transport: NatsTransport;
  readonly mesh: MeshRecord;
  readonly modelPath: string;
  readonly signal: AbortSignal;
  /** Rejects when an actor can't run. */
  readonly failed: Promise<never>;
  makeHost(split: Split, mesh: MeshRecord, store: KeyValue): TrialHost;
}

/**
 * Measures a split with real answers, in a mesh of its own on the same server, which is taken down again. Other
 * hosts may wait for the real one meanwhile; they see nothing of it.
 */
async function trySplit(split: Split, options: SplitTrialOptions): Promise<TriedSplit> {
  const { transport, mesh: wanted, failed, signal } = options;
  const name = `trial-${process.pid}-${split.stages}`;
  const mesh = { ...wanted, mesh: name };
  const store = await openNatsKeyValue(transport, bucketOf(name));
  const client = new SessionClient({ mesh: name, transport, clock: systemClock });
  try {
    await store.create(KEYS.mesh, encodeJson(mesh));
    const host = options.makeHost(split, mesh, store);
    try {
      await host.agent.join();
      while (!client.status().ready || !servesAlone(host.agent.actors, split.stages)) {
        signal.throwIfAborted();
        await Promise.race([Bun.sleep(POLL_MS), failed]);
      }
      return { ...split, tokensPerSecond: await measure(client, options.modelPath) };
    } finally {
      await host.stop();
    }
  } finally {
    client.close();
    await deleteBucket(transport, bucketOf(name));
  }
}

/** The best of a few answers: what else the machine does only makes it slower. */
async function measure(client: SessionClient, modelPath: string): Promise<number> {
  const text = await loadModelText(modelPath);
  const prompt = text.encodeText(PROMPT);
  let best = 0;
  for (let i = 0; i < ANSWERS; i++) {
    const session = await client.open({
      ...{ prompt, sampling: GREEDY, maxTokens: TOKENS, stopTokens: [], reuse: false },
    });
    let firstMs: number | undefined;
    let count = 0;
    for await (const { tokens } of session.commits) {
      if (firstMs === undefined) firstMs = performance.now();
      else count += tokens.length;
    }
    const ms = performance.now() - (firstMs ?? 0);
    const { reason, message } = await session.ended;
    if (reason === "error") throw new Error(`the trial of a split failed: ${message}`);
    if (count > 0) best = Math.max(best, (1000 * count) / ms);
  }
  return best;
}
