import { ChatTemplateError } from "../../models/chat-template.ts";
import type { ModelText } from "../../models/model-text.ts";
import { UsageError } from "../usage-error.ts";
import { trainingLines } from "./training-prompts.ts";

/** How people begin what they ask: each brings out another part of what a model has been taught. */
const OPENINGS =
  `Why|Why do|Why is|How|How do|How can I|How does|What|What is|What are|What causes|What is the difference between
Who|When|Where|Which|Can you|Could you|Is it|Are there|If|Should I|Do you|I|I'm|I have|I want to|I need|My|Hi|Hello|The|Please
Write a|Write a short|Write a program|Write a function|Create a|Make a|Give me|List|Plan|Explain|Describe|Compare|Suggest|Tell me
Rewrite|Summarise|Translate|Discuss|Imagine|Solve|Calculate|Fix|Help me`.split(/[|\n]/);
/** One in so many begins with nothing, and leaves all to the model. */
const BARE = 4;
/** Shorter texts ask nothing. */
const LEAST_CHARACTERS = 8;

/** What a model's template puts before and behind what a user says. */
export interface TurnFrame {
  readonly before: readonly number[];
  readonly behind: readonly number[];
}

/**
 * Found by what the renderings of two turns have in common.
 * @throws {UsageError} for a model without a chat.
 */
export function turnFrame(text: ModelText): TurnFrame {
  const [one, other] = ["a", "7"].map((content) => encode(text, content)) as [number[], number[]];
  const before = sharedLength(one, other);
  const behind = sharedLength(one.toReversed(), other.toReversed());
  if (before + behind >= one.length)
    throw new UsageError(`${REFUSAL}: its template leaves out what they say.`);
  return { before: one.slice(0, before), behind: one.slice(one.length - behind) };
}

/** Tokens of `count` beginnings of a user's turn, as lines for the trainer. */
export function beginningLines(text: ModelText, count: number): string {
  const { before, behind } = turnFrame(text);
  const bare = Uint32Array.from(before);
  const begun = OPENINGS.map((opening) => {
    const whole = encode(text, opening);
    return Uint32Array.from(whole.slice(0, whole.length - behind.length));
  });
  const nth = (i: number) =>
    i % BARE === 0 ? bare : (begun[(i - Math.floor(i / BARE) - 1) % begun.length] as Uint32Array);
  return trainingLines(Array.from({ length: count }, (_, i) => nth(i)));
}

/** Tokens that end a user's turn. */
export const turnEnds = (text: ModelText): number[] => [
  ...new Set([...text.endTokens, ...turnFrame(text).behind.slice(0, 1)]),
];

/** The prompts, as JSON lines that can be read and changed, of the trainer's lines. */
export function ownPromptLines(lines: string, text: ModelText): string {
  const { before } = turnFrame(text);
  const prompts = lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { tokens } = JSON.parse(line) as { tokens: number[] };
      return text.decoder().push(tokens.slice(before.length)).trim();
    });
  const whole = prompts.filter((prompt) => prompt.length >= LEAST_CHARACTERS && !prompt.includes("\uFFFD"));
  return [...new Set(whole)].map((prompt) => `${JSON.stringify({ prompt })}\n`).join("");
}

const REFUSAL = "This model cannot write prompts itself (name files with --prompts)";

function encode(text: ModelText, content: string): number[] {
  try {
    return [...text.encodeChat([{ role: "user", content }])];
  } catch (error) {
    if (error instanceof ChatTemplateError) throw new UsageError(`${REFUSAL}: ${error.message}`);
    throw error;
  }
}

function sharedLength(one: readonly number[], other: readonly number[]): number {
  const end = one.findIndex((token, i) => token !== other[i]);
  return end < 0 ? one.length : end;
}
