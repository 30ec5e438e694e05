import * as v from "valibot";
import type { Answered, Conversation } from "./conversation.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** A line that `flowmesh chat --json` writes: docs/chat.md. */
export const answerRecordSchema = v.strictObject({
  question: v.string(),
  /** What there was of it, if it was stopped or failed. */
  answer: v.string(),
  model: v.string(),
  /** As asked for; null: the mesh's own. */
  policy: v.nullable(v.string()),
  /** Null when the answer did not come to its end, as are those below. */
  finish_reason: v.nullable(v.string()),
  seed: v.nullable(v.number()),
  usage: v.nullable(v.strictObject({ prompt_tokens: count, completion_tokens: count })),
  commits: v.nullable(count),
  draft_tokens: v.nullable(count),
  accepted_tokens: v.nullable(count),
  /** Since the request. */
  seconds: v.nullable(v.number()),
  /** Since the request; null also when the answer has no text. */
  first_token_seconds: v.nullable(v.number()),
  /** Null for an answer that came to its end; "cancelled" for one that was stopped. */
  error: v.nullable(v.string()),
});

type AnswerRecord = v.InferOutput<typeof answerRecordSchema>;

/** Of an answer that did not come to its end. */
const NO_END: Omit<AnswerRecord, "question" | "answer" | "model" | "policy"> = {
  finish_reason: null,
  seed: null,
  usage: null,
  commits: null,
  draft_tokens: null,
  accepted_tokens: null,
  seconds: null,
  first_token_seconds: null,
  error: "cancelled",
};

export function answeredRecord(
  { model, settings }: Conversation,
  { question, text, answer, seconds, firstSeconds }: Answered,
): AnswerRecord {
  return {
    ...NO_END,
    question,
    answer: text,
    model,
    policy: settings.policy ?? null,
    ...(answer !== undefined && {
      finish_reason: answer.finishReason,
      seed: answer.seed ?? null,
      usage: { prompt_tokens: answer.promptTokens, completion_tokens: answer.completionTokens },
      commits: answer.commits,
      draft_tokens: answer.draftTokens,
      accepted_tokens: answer.acceptedTokens,
      seconds,
      first_token_seconds: firstSeconds ?? null,
      error: null,
    }),
  };
}

/** `text`: what came before it failed. */
export function failedRecord(
  { model, settings, question = "" }: Conversation,
  text: string,
  error: string,
): AnswerRecord {
  return { ...NO_END, question, answer: text, model, policy: settings.policy ?? null, error };
}
