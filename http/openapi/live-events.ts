import * as v from "valibot";
import { described } from "../described.ts";
import { count, milliseconds } from "./figures.ts";

const counts = v.array(count);
/** A root's parent is -1. */
const nodes = v.array(v.pipe(v.number(), v.safeInteger()));

const generation = described(count, "Grows each time that the session's tokens are sent again.");
const segment = described(count, "Number of the segment.");
const tokens = described(counts, "Token of each node.");
const texts = described(v.array(v.string()), "Its text.");
const parents = described(nodes, "Parent of each node.");
const position = described(count, "Position in prompt and answer.");

const of = <const Type extends string>(type: Type, description: string) => ({
  type: described(v.literal(type), description),
});
const ofSession = <const Type extends string>(type: Type, description: string) => ({
  ...of(type, description),
  session: described(v.string(), "Id of the session."),
  atMs: described(v.number(), "When it was heard: milliseconds since the session was asked for."),
});

const stats = v.strictObject({
  promptTokens: described(count, "Tokens of the prompt."),
  completionTokens: described(count, "Tokens of the answer."),
  commits: described(count, "Walks of the verifier that brought tokens."),
  draftTokens: described(count, "Guesses that were sent into the pipeline."),
  acceptedTokens: described(count, "Of those, guesses that were right."),
  segments: described(count, "Segments that were sent."),
  misses: described(count, "Moves of the root to a token that nobody had guessed in time."),
  cachedTokens: described(v.optional(count), "Tokens of the prompt that were not computed."),
});

const actor = v.strictObject({
  name: described(v.string(), "Name of the actor."),
  host: described(v.string(), "Where it runs."),
  pid: described(v.string(), "Its process."),
  stage: described(v.optional(count), "Of a stage: its place in the pipeline."),
  layers: described(v.optional(v.string()), 'Of a stage: its layers, as "0-9".'),
  costs: described(
    v.optional(
      v.array(
        v.strictObject({
          nodes: described(count, "Nodes of a segment."),
          ms: described(milliseconds, "What it takes."),
        }),
      ),
    ),
    "Of a stage: milliseconds for segments of so many nodes, as it measures itself.",
  ),
});

/** LiveEvent, and what LiveBatches adds to it. */
export const liveEvent = v.variant("type", [
  v.strictObject({
    ...of("mesh", "Who runs where; told at once and on change."),
    ready: described(v.boolean(), "Whether a request would be served."),
    reason: described(v.optional(v.string()), "Why not."),
    modelId: described(v.string(), "Id of the model."),
    numerics: described(v.string(), "What the mesh computes with."),
    actors: described(v.array(actor), "The mesh's actors."),
  }),
  v.strictObject({
    ...ofSession("opened", "The gateway asks for a session."),
    promptTokens: described(count, "Tokens of the prompt."),
    maxTokens: described(count, "Tokens of the answer at most."),
    policy: described(v.optional(v.string()), "The policy that was asked for."),
  }),
  v.strictObject({
    ...ofSession("drafted", "Candidates were guessed."),
    generation,
    base: described(count, "Node below which they are."),
    position,
    parents,
    tokens,
    texts,
    scores: described(v.array(v.number()), "Natural logarithm of the probability of each path."),
    draftMs: described(milliseconds, "Time that guessing took."),
  }),
  v.strictObject({
    ...ofSession("sent", "A segment leaves for the first stage."),
    generation,
    segment,
    prompt: described(v.boolean(), "True for a part of the prompt, whose nodes are not listed."),
    count: described(count, "Nodes of the segment."),
    certain: described(count, "Tokens that were certain then, the prompt's included."),
    ids: described(nodes, "The nodes."),
    parents,
    tokens,
    texts,
    positions: described(counts, "Position of each node in prompt and answer."),
  }),
  v.strictObject({
    ...ofSession("worked", "A stage has passed a segment on."),
    stage: described(count, "Place of the stage in the pipeline."),
    generation,
    segment,
    count: described(count, "Nodes computed: the others were dead by then."),
    ms: described(milliseconds, "Time that the stage was busy with it."),
  }),
  v.strictObject({
    ...ofSession("committed", "Tokens are certain."),
    generation,
    segment,
    position,
    nodes: described(nodes, "The nodes that were accepted."),
    tokens,
    texts,
  }),
  v.strictObject({
    ...ofSession("ended", "Nothing more comes of this session."),
    reason: described(v.string(), "Why it ended."),
    message: described(v.optional(v.string()), "The error, if it was one."),
    stats: described(v.optional(stats), "How speculation went."),
  }),
  v.strictObject({
    ...of("skipped", "The reader was too slow: events were left out."),
    events: described(count, "How many."),
  }),
]);
