import * as v from "valibot";

const promptSchema = v.union([
  v.object({ id: v.optional(v.string()), kind: v.optional(v.string()), prompt: v.string() }),
  v.object({
    id: v.optional(v.string()),
    kind: v.optional(v.string()),
    turns: v.pipe(v.array(v.string()), v.minLength(1)),
  }),
]);

export interface BenchPrompt {
  readonly id: string;
  readonly kind: string;
  /** What the user says; of a conversation, the first turn. */
  readonly text: string;
}

/** A line of a prompts file that is not what it should be. */
export class PromptFileError extends Error {
  override readonly name = "PromptFileError";
}

/** JSON lines, each `{ "prompt": … }` or `{ "turns": [ … ] }`, with optional `id` and `kind`. */
export async function readPrompts(path: string): Promise<BenchPrompt[]> {
  const file = Bun.file(path);
  if (!(await file.exists())) throw new PromptFileError(`${path}: there is no such file`);
  const lines = (await file.text()).split("\n");
  return lines.flatMap((line, index) => (line.trim() === "" ? [] : [parseLine(path, line, index + 1)]));
}

function parseLine(path: string, line: string, number: number): BenchPrompt {
  try {
    const entry = v.parse(promptSchema, JSON.parse(line));
    const text = "prompt" in entry ? entry.prompt : (entry.turns[0] ?? "");
    return { id: entry.id ?? `line ${number}`, kind: entry.kind ?? "other", text };
  } catch (cause) {
    const wanted = 'a JSON object with "prompt" (text) or "turns" (list of texts)';
    throw new PromptFileError(`${path}, line ${number}: expected ${wanted}`, { cause });
  }
}
