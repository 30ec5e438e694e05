import { createHash } from "node:crypto";
import type { PipelineStatus } from "../actors/session-port.ts";
import type { Gateway } from "./gateway.ts";
import type { CommitNote, GenerationResult } from "./generation.ts";
import type { Fields, Reply } from "./reply.ts";

/** What all parts of one reply have in common. */
export const envelope = ({ shape, status }: Reply): Fields => ({
  id: `${shape.idPrefix}${crypto.randomUUID().replaceAll("-", "")}`,
  created: Math.floor(Date.now() / 1000),
  model: status.modelId,
  system_fingerprint: fingerprint(status),
});

/**
 * The prompt counts once, however many choices there are, and as cached only what was for each of them. That is
 * absent when the mesh did not tell in time.
 */
export function usage({ request }: Reply, results: readonly GenerationResult[]): Fields {
  const promptTokens = request.prompt.length;
  const completionTokens = sum(results, (result) => result.completionTokens);
  const cached = results.map(({ stats }) => stats?.cachedTokens);
  const known = cached.every((count) => count !== undefined);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    ...(known && { prompt_tokens_details: { cached_tokens: Math.min(...cached) } }),
  };
}

/**
 * The `flowmesh` object beside `usage`: the seed that gives this answer again, and how speculation went, all
 * choices together. The mesh's own three counts are absent when it did not tell them in time after a stop
 * string. `notes` are told, and times, where the request asked for them.
 */
export function extension(
  gateway: Gateway,
  { params, request, requestedAt }: Reply,
  results: readonly GenerationResult[],
  notes: readonly CommitNote[] = [],
): Fields {
  const stats = results.flatMap((result) => result.stats ?? []);
  const firsts = results.flatMap(({ firstTokenMs }) => firstTokenMs ?? []);
  const { policy } = request;
  return {
    seed: request.sampling.seed,
    ...(policy === undefined ? {} : { policy }),
    commits: sum(results, ({ commits }) => commits),
    ...(stats.length === results.length && {
      draft_tokens: sum(stats, ({ draftTokens }) => draftTokens),
      accepted_tokens: sum(stats, ({ acceptedTokens }) => acceptedTokens),
      segments: sum(stats, ({ segments }) => segments),
    }),
    ...(params.tells.commits && notes.length > 0 && { commit_tokens: notes.map(({ tokens }) => tokens) }),
    ...(params.tells.timings && {
      timings: {
        first_token_ms: firsts.length === 0 ? null : toMicroseconds(Math.min(...firsts)),
        total_ms: toMicroseconds(gateway.clock.now() - requestedAt),
      },
    }),
  };
}

/** Milliseconds, rounded to whole microseconds: the clock knows no more. */
export const toMicroseconds = (ms: number): number => Math.round(ms * 1000) / 1000;

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);

/** Changes with whatever may change an answer: the model, and what the processors that run it make of it. */
function fingerprint({ modelId, numerics, arithmetic = "" }: PipelineStatus): string {
  const digest = createHash("sha256").update(`${modelId}\n${numerics}\n${arithmetic}`).digest("hex");
  return `fp_${digest.slice(0, 12)}`;
}
