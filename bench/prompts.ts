import { join } from "node:path";
import * as v from "valibot";

/** The prompts that come along: none may be trained with. */
export const PROMPTS_FILE = join(import.meta.dir, "prompts.jsonl");

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
  /** What the user says, one text a turn; at least one. */
  readonly turns: readonly string[];
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
  const prompts = lines.flatMap((line, index) =>
    line.trim() === "" ? [] : [parseLine(path, line, index + 1)],
  );
  if (prompts.length === 0) throw new PromptFileError(`${path}: there is no prompt in it`);
  const ids = new Set<string>();
  for (const { id } of prompts) {
    if (ids.has(id)) throw new PromptFileError(`${path}: two prompts have the id "${id}"`);
    ids.add(id);
  }
  return prompts;
}

function parseLine(path: string, line: string, number: number): BenchPrompt {
  try {
    const entry = v.parse(promptSchema, JSON.parse(line));
    const turns = "prompt" in entry ? [entry.prompt] : entry.turns;
    return { id: entry.id ?? `line ${number}`, kind: entry.kind ?? "other", turns };
  } catch (cause) {
    const wanted = 'a JSON object with "prompt" (text) or "turns" (list of texts)';
    throw new PromptFileError(`${path}, line ${number}: expected ${wanted}`, { cause });
  }
}

/**
 * `count` of the prompts, spread over the whole list so that every kind has its share, and as many others
 * (or what is left) to choose parameters with: those that are measured should not have a say in it.
 */
export function splitPrompts(
  prompts: readonly BenchPrompt[],
  count: number,
): { readonly measured: readonly BenchPrompt[]; readonly heldOut: readonly BenchPrompt[] } {
  const measured = evenly(prompts, count);
  const others = prompts.filter((prompt) => !measured.includes(prompt));
  return { measured, heldOut: evenly(others, count) };
}

function evenly(prompts: readonly BenchPrompt[], count: number): BenchPrompt[] {
  const step = prompts.length / Math.min(count, prompts.length);
  return prompts.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}
