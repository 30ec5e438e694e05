import { join } from "node:path";
import * as v from "valibot";

/** Of the default model and drafter: two prompts of each kind, at temperatures 0 and 1. */
export const SHIPPED_TRACE = join(import.meta.dir, "traces", "smollm2-135m-hybrid.jsonl.gz");

/**
 * What a drafter guessed below every token of an answer, beside what came: enough to play any policy again
 * without a model. A file is gzipped JSON lines: a header, then one line a session.
 */
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const headerSchema = v.object({
  format: v.literal("flowmesh acceptance trace 1"),
  model: v.string(),
  drafter: v.string(),
  date: v.string(),
});
export type TraceHeader = v.InferOutput<typeof headerSchema>;

/** Candidates below one token, as `CandidatesMessage` has them: parents first, -1 for that token. */
const treeSchema = v.object({
  parents: v.array(v.pipe(v.number(), v.integer(), v.minValue(-1))),
  tokens: v.array(count),
  /** Natural-log path probabilities as the drafter gave them, rounded. */
  scores: v.array(v.number()),
});
export type TraceTree = v.InferOutput<typeof treeSchema>;

const sessionSchema = v.object({
  prompt: v.string(),
  kind: v.string(),
  temperature: v.number(),
  promptTokens: count,
  /** The answer. */
  tokens: v.array(count),
  /** `trees[i]`: what the drafter guesses below `tokens[i]` once all tokens up to it are verified. */
  trees: v.array(treeSchema),
});
export type SessionTrace = v.InferOutput<typeof sessionSchema>;

export interface AcceptanceTrace {
  readonly header: TraceHeader;
  readonly sessions: readonly SessionTrace[];
}

/** A trace file that is not what it should be. */
export class TraceFileError extends Error {
  override readonly name = "TraceFileError";
}

export async function writeTrace(path: string, trace: AcceptanceTrace): Promise<void> {
  const lines = [trace.header, ...trace.sessions].map((entry) => JSON.stringify(entry));
  await Bun.write(path, Bun.gzipSync(`${lines.join("\n")}\n`));
}

/** Throws TraceFileError. */
export async function readTrace(path: string): Promise<AcceptanceTrace> {
  const file = Bun.file(path);
  if (!(await file.exists())) throw new TraceFileError(`${path}: there is no such file`);
  try {
    const text = new TextDecoder().decode(Bun.gunzipSync(await file.bytes()));
    const [first = "", ...rest] = text.trim().split("\n");
    const header = v.parse(headerSchema, JSON.parse(first));
    return { header, sessions: rest.map((line) => v.parse(sessionSchema, JSON.parse(line))) };
  } catch (cause) {
    throw new TraceFileError(
      `${path} is no acceptance trace (gzipped JSON lines, see bench/acceptance-trace.ts)`,
      {
        cause,
      },
    );
  }
}
