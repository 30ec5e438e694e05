import { basename } from "node:path";
import { PromptOverlap, SHARED_WORDS } from "../../bench/prompt-overlap.ts";
import { type BenchPrompt, PROMPTS_FILE, PromptFileError, readPrompts } from "../../bench/prompts.ts";
import { ChatTemplateError } from "../../models/chat-template.ts";
import type { ModelText } from "../../models/model-text.ts";

/** Prompts to train with, as the model gets them. */
export interface TrainingPrompts {
  /** Token ids up to where the answer begins. */
  readonly prompts: readonly Uint32Array[];
  /** What was left out, and why, for a person. */
  readonly leftOut: readonly string[];
}

/** A prompt this long leaves the answer at least as much room. */
const CONTEXT_SHARE = 0.5;
const EXAMPLES_MAX = 3;

/**
 * Reads prompts from all the files and renders them as the first turn of a conversation. Left out are those that
 * come again, those that overlap with the prompts that drafters are measured on, and those that are too long.
 * @throws {PromptFileError} for a file that is not what it should be, or when nothing is left.
 */
export async function readTrainingPrompts(
  files: readonly string[],
  text: ModelText,
  contextLength: number,
): Promise<TrainingPrompts> {
  const overlap = new PromptOverlap(await readPrompts(PROMPTS_FILE));
  const seen = new Set<string>();
  const prompts: Uint32Array[] = [];
  const left: Record<"shared" | "long" | "repeated", string[]> = { shared: [], long: [], repeated: [] };
  for (const file of files) {
    for (const prompt of await readPrompts(file)) {
      const [content = ""] = prompt.turns;
      const where = `${basename(file)}: ${prompt.id}`;
      if (seen.has(content)) left.repeated.push(where);
      else if (overlap.find({ turns: [content] }) !== undefined) left.shared.push(where);
      else {
        const tokens = encode(text, content);
        if (tokens.length > contextLength * CONTEXT_SHARE) left.long.push(where);
        else prompts.push(tokens);
      }
      seen.add(content);
    }
  }
  const leftOut = [
    describe(left.shared, `share ${SHARED_WORDS} words in a row with prompts that drafters are measured on`),
    describe(left.long, `are longer than half of the model's context of ${contextLength} tokens`),
    describe(left.repeated, "came before"),
  ].filter((line) => line !== "");
  if (prompts.length > 0) return { prompts, leftOut };
  throw new PromptFileError(`no prompt is left to train with: ${leftOut.join("; ")}`);
}

/** A model without chat only goes on with a text. */
function encode(text: ModelText, content: BenchPrompt["turns"][number]): Uint32Array {
  try {
    return text.encodeChat([{ role: "user", content }]);
  } catch (error) {
    if (error instanceof ChatTemplateError) return text.encodeText(content);
    throw error;
  }
}

function describe(prompts: readonly string[], why: string): string {
  if (prompts.length === 0) return "";
  const more = prompts.length > EXAMPLES_MAX ? ", …" : "";
  return `${prompts.length} left out, which ${why} (${prompts.slice(0, EXAMPLES_MAX).join(", ")}${more})`;
}

/** JSON lines as the trainer reads them. */
export const trainingLines = (prompts: readonly Uint32Array[]): string =>
  prompts.map((tokens) => `${JSON.stringify({ tokens: [...tokens] })}\n`).join("");
