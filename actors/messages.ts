import * as v from "valibot";
import { TOP_LOGPROBS_MAX } from "../decoding/log-probs.ts";
import { GROWTHS } from "../decoding/policies/policy.ts";
import { LOGIT_BIAS_ENTRIES_MAX, SAMPLING_RANGES } from "../decoding/sampling-params.ts";
import { GRAMMAR_LENGTH_MAX } from "../decoding/token-mask.ts";
import { FrameError } from "../transport/errors.ts";
import type { Message } from "../transport/transport.ts";
import type { Log } from "./runtime/log.ts";

/**
 * JSON messages between actors, one schema each; parsed once where they arrive and trusted inside.
 * Binary ones (segments, features) are described in transport/frame.ts.
 */
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const ids = v.array(count);

const within = ([least, greatest]: readonly [number, number]) =>
  v.pipe(v.number(), v.minValue(least), v.maxValue(greatest));

/** SamplingParams, see there. */
const sampling = v.object({
  temperature: within(SAMPLING_RANGES.temperature),
  topP: within(SAMPLING_RANGES.topP),
  topK: count,
  minP: within(SAMPLING_RANGES.minP),
  repetitionPenalty: within(SAMPLING_RANGES.repetitionPenalty),
  presencePenalty: within(SAMPLING_RANGES.presencePenalty),
  frequencyPenalty: within(SAMPLING_RANGES.frequencyPenalty),
  logitBias: v.pipe(
    v.array(v.object({ token: count, bias: within(SAMPLING_RANGES.bias) })),
    v.maxLength(LOGIT_BIAS_ENTRIES_MAX),
    v.readonly(),
  ),
  seed: count,
});

const topCount = v.pipe(count, v.maxValue(TOP_LOGPROBS_MAX));

/** PositionLogprobs, see there. */
const positionLogprobsSchema = v.object({
  token: count,
  logprob: v.number(),
  top: v.pipe(v.array(v.object({ token: count, logprob: v.number() })), v.readonly()),
});

/** AnswerRule's grammar. */
const grammar = v.pipe(v.string(), v.maxLength(GRAMMAR_LENGTH_MAX));

/** What every stage must know of a session; rides on the first segment of each generation. */
export const sessionSpecSchema = v.object({
  sampling,
  stopTokens: ids,
  lastPosition: count,
  /** Position of the last token sent as a prompt: there the verifier's walk begins. */
  prefillEnd: count,
  /** Position at which the answer begins, also on a replay that sends some of the answer as a prompt. */
  promptTokens: count,
  /** False: nodes are computed even when they are dead by then, for comparison (see Policy.prunes). */
  prunes: v.boolean(),
  /** Whether stages tell of each of the session's segments (`event.work`), because somebody watches it. */
  reports: v.optional(v.boolean()),
  /** False: the mesh's drafter has no part in the session, so nobody needs its features. */
  features: v.optional(v.boolean()),
  /** Alternatives to tell of each token; absent: no log-probabilities are told. */
  topLogprobs: v.optional(topCount),
  /** What the answer must fit; absent: anything will do. */
  grammar: v.optional(grammar),
  /** First tokens of the session that are not sent, because the stage should have their rows already. */
  prefix: v.optional(ids),
});
export type SessionSpec = v.InferOutput<typeof sessionSpecSchema>;

/** A session that had to be opened again more often than this has failed. */
export const ATTEMPTS_MAX = 1000;

/** Generations that an attempt may use up before they would meet those of the next one. */
const GENERATIONS_PER_ATTEMPT = 2 ** 20;
export const firstGeneration = (attempt: number): number => attempt * GENERATIONS_PER_ATTEMPT;
/** Whatever is of this generation or an older one is stale once the attempt has ended. */
export const lastGeneration = (attempt: number): number => firstGeneration(attempt + 1) - 1;

/** `session.<sid>.open`, a request: the gateway asks for a tree manager. */
export const openSchema = v.object({
  prompt: ids,
  sampling,
  stopTokens: ids,
  maxTokens: v.pipe(count, v.minValue(1)),
  policy: v.optional(v.string()),
  reports: v.optional(v.boolean()),
  /** Tokens of the answer that the gateway has, when it opens a session again whose tree manager is gone. */
  accepted: v.optional(ids, []),
  /** Newest placement that the gateway knows: a tree host of an older one does not answer. */
  epoch: v.optional(count, 0),
  /** How often the session was opened before. */
  attempt: v.optional(v.pipe(count, v.maxValue(ATTEMPTS_MAX)), 0),
  /** `none`: nobody guesses for this session; else the name of a user's own drafter. */
  drafter: v.optional(v.string()),
  topLogprobs: v.optional(topCount),
  grammar: v.optional(grammar),
  /** False: all of it is computed, whatever earlier sessions had. */
  reuse: v.optional(v.boolean()),
});
export type OpenMessage = v.InferOutput<typeof openSchema>;

/** Answer to `open`; `error` is absent when a tree manager has taken the session. */
export const openReplySchema = v.object({
  error: v.optional(v.object({ code: v.picklist(["busy", "invalid"]), message: v.string() })),
});
export type OpenReply = v.InferOutput<typeof openReplySchema>;

/** `session.<sid>.commit`: one walk of the verifier that moved; see Walk in decoding/segment.ts. */
export const commitSchema = v.object({
  epoch: count,
  generation: count,
  /** Sequence number of the segment that moved the walk. */
  segment: count,
  position: count,
  nodes: ids,
  tokens: ids,
  /** The tokens' text, for people who listen; a character cut by a token's end shows as U+FFFD. */
  text: v.string(),
  /** One for each of `tokens`, where the session asked for them. */
  logprobs: v.optional(v.array(positionLogprobsSchema)),
});
export type CommitMessage = v.InferOutput<typeof commitSchema>;

/** `session.<sid>.cancel` */
export const cancelSchema = v.object({ reason: v.string() });

const statsSchema = v.object({
  promptTokens: count,
  completionTokens: count,
  commits: count,
  draftTokens: count,
  acceptedTokens: count,
  segments: count,
  misses: count,
  /** Tokens of the prompt that were not computed, but for replays of what was lost, as their rows were there. */
  cachedTokens: v.optional(count, 0),
});

/** `session.<sid>.end`: every actor forgets the session. */
export const endSchema = v.object({
  reason: v.picklist(["stop", "length", "cancelled", "error"]),
  message: v.optional(v.string()),
  /** Of the open message that this is the end of: an older tree manager of the session has no say. */
  attempt: v.optional(count, 0),
  stats: statsSchema,
});
export type EndMessage = v.InferOutput<typeof endSchema>;

/** Answer to `session.<sid>.journal`: the accepted tokens, and the end once there is one. */
export const journalSchema = v.object({
  /** Position of the first accepted token: the length of the prompt. */
  position: count,
  tokens: ids,
  /** One for each token that this tree manager saw committed, which are the last ones, where asked for. */
  logprobs: v.optional(v.array(positionLogprobsSchema)),
  end: v.optional(endSchema),
});
export type JournalMessage = v.InferOutput<typeof journalSchema>;

/** To the tree manager, kind `credit`: the first stage has finished a segment. */
/** To the tree manager, kind `gap`: a segment is missing; the generation must be replayed. */
export const progressSchema = v.object({ generation: count, segment: count });
export type ProgressMessage = v.InferOutput<typeof progressSchema>;

/** To the tree manager, kind `ack`: the verifier has finished a segment, and its walk has not moved. */
export const ackSchema = v.object({
  generation: count,
  segment: count,
  /** Tokens that are certain, the prompt's included: shows a commit that was lost. */
  certain: count,
});

/** To the tree manager, kind `refuse`: a stage can't hold the session (its KV memory is used up, or its grammar is of no use). */
export const refuseSchema = v.object({ generation: count, message: v.string() });

/** To the tree manager, kind `less`: of the first tokens that were not sent, stage or drafter has rows of `held` only. */
export const lessSchema = v.object({ generation: count, held: count });
export type LessMessage = v.InferOutput<typeof lessSchema>;

/**
 * To the drafter, kind `begin`: all tokens that are certain, from position 0; the answer begins at `promptTokens`.
 * No features come of the first `reused` ones: the drafter should have them of another session.
 */
export const beginSchema = v.object({
  generation: count,
  tokens: ids,
  promptTokens: count,
  sampling,
  reused: v.optional(count, 0),
});
export type BeginMessage = v.InferOutput<typeof beginSchema>;

/** To the drafter, kind `expand`. `path` runs from the tree's root, at `position`, to node `base`. */
export const expandSchema = v.object({
  generation: count,
  base: count,
  position: count,
  path: ids,
  growth: v.picklist(GROWTHS),
  topK: v.pipe(count, v.minValue(1)),
  batch: v.pipe(count, v.minValue(1)),
  depth: count,
  total: v.pipe(count, v.minValue(1)),
  minProbability: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  coupled: v.boolean(),
});
export type ExpandMessage = v.InferOutput<typeof expandSchema>;

/** To the tree manager, kind `candidates`: what the drafter found below node `base` at `position`. */
export const candidatesSchema = v.object({
  generation: count,
  base: count,
  position: count,
  parents: v.array(v.pipe(v.number(), v.integer(), v.minValue(-1))),
  tokens: ids,
  scores: v.array(v.number()),
  /** True when the drafter goes on with this expansion and will tell of more. */
  more: v.boolean(),
  /** Time that the drafter spent, milliseconds. */
  draftMs: v.number(),
});
export type CandidatesMessage = v.InferOutput<typeof candidatesSchema>;

/** `event.up`: an actor has started (anew); what it knew of sessions before is gone. */
export const actorUpSchema = v.object({ name: v.string(), epoch: count });

/** `event.pipeline`, each second and on change: what the mesh serves. */
export const pipelineSchema = v.object({
  epoch: count,
  ready: v.boolean(),
  reason: v.optional(v.string()),
  modelId: v.string(),
  contextLength: count,
  policies: v.array(v.string()),
  stages: count,
  numerics: v.string(),
  /** Tokens of all sessions together that each stage has room for; absent while not all have told. */
  kvTokens: v.optional(count),
  /** What the stages' processors make of the model, see actors/mesh/arithmetic.ts; absent while not all have told. */
  arithmetic: v.optional(v.string()),
});
export type PipelineMessage = v.InferOutput<typeof pipelineSchema>;

/** A table t(n), see decoding/costs.ts. */
export const costsSchema = v.pipe(
  v.array(v.object({ nodes: v.pipe(count, v.minValue(1)), ms: v.pipe(v.number(), v.gtValue(0)) })),
  v.minLength(1),
);

/** `event.costs`, at start and when they have changed: milliseconds of a stage for a segment of n nodes. */
export const stageCostsSchema = v.object({ epoch: count, stage: count, costs: costsSchema });
export type StageCostsMessage = v.InferOutput<typeof stageCostsSchema>;

/**
 * `event.work`, after each segment of a stage or session that was asked to tell: what it did when, for time lines.
 * Times are milliseconds of the host's wall clock, with fractions.
 */
export const stageWorkSchema = v.object({
  epoch: count,
  stage: count,
  sid: v.string(),
  generation: count,
  segment: count,
  /** Nodes computed. */
  nodes: ids,
  committed: v.boolean(),
  /** When the stage began, and when it was done with it. */
  beginMs: v.number(),
  endMs: v.number(),
  /** Of that, time inside the real model. */
  computeMs: v.number(),
  /** Size of the message that went on. */
  bytes: count,
});
export type StageWorkMessage = v.InferOutput<typeof stageWorkSchema>;

/** The value of header `Flow-Kind` on JSON messages that share a subject. */
export type MessageKind = "credit" | "ack" | "gap" | "less" | "refuse" | "begin" | "expand" | "candidates";

/** Answer of `drafter.<name>`: a user's own drafter is there. */
export const drafterReplySchema = v.object({ name: v.string(), description: v.string() });
export type DrafterReply = v.InferOutput<typeof drafterReplySchema>;

/** Of a stage's `$SRV.STATS`: what it has computed in its present epoch, and sessions that it holds rows of. */
export const stageAccountSchema = v.object({ segments: count, nodes: count, sessions: count });
export type StageAccount = v.InferOutput<typeof stageAccountSchema>;

/** Of a tree manager's `$SRV.STATS`. */
export const sessionAccountSchema = v.object({
  policy: v.string(),
  promptTokens: count,
  completionTokens: count,
  commits: count,
  /** Of the completion tokens, those that were guessed right. */
  acceptedTokens: count,
});
export type SessionAccount = v.InferOutput<typeof sessionAccountSchema>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** A message that does not fit its schema is a fault of the sender: the reader throws, and is restarted. */
export class MessageError extends Error {
  constructor(subject: string, cause: unknown) {
    super(
      `message on ${subject} is not what it should be: ${cause instanceof Error ? cause.message : cause}`,
      {
        cause,
      },
    );
    this.name = "MessageError";
  }
}

export function parseJson<T>(
  schema: v.GenericSchema<unknown, T>,
  message: { readonly subject: string; readonly body: Uint8Array },
): T {
  try {
    return v.parse(schema, JSON.parse(decoder.decode(message.body)));
  } catch (error) {
    throw new MessageError(message.subject, error);
  }
}

/** Reads a frame with one of transport/frame.ts; one that is malformed is a MessageError here too. */
export function parseFrame<T>(decode: (message: Message) => T, message: Message): T {
  try {
    return decode(message);
  } catch (error) {
    throw error instanceof FrameError ? new MessageError(message.subject, error) : error;
  }
}

/**
 * For the catch around what a message makes an actor do: one that can't be read is somebody else's mistake, so
 * it is dropped, and told. Any other error is thrown on.
 */
export function dropMalformed(log: Log, error: unknown): void {
  if (!(error instanceof MessageError)) throw error;
  log.write("warn", "message dropped", { why: error.message });
}
