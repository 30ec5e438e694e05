import { readFile, writeFile } from "node:fs/promises";
import * as v from "valibot";
import type { ChatMessage } from "../../http/text-port.ts";

/** A file that can't be written, or holds no conversation. */
export class SavedChatError extends Error {
  override readonly name = "SavedChatError";
}

const fileSchema = v.object({
  messages: v.array(v.object({ role: v.picklist(["system", "user", "assistant"]), content: v.string() })),
});

/**
 * Writes `model` and `messages` as a request of the API has them; gives their number. A file that is there is left
 * as it is. Throws SavedChatError.
 */
export async function saveMessages(
  path: string,
  model: string,
  messages: readonly ChatMessage[],
): Promise<number> {
  if (messages.length === 0) throw new SavedChatError("nothing was said so far");
  const text = `${JSON.stringify({ model, messages }, undefined, 2)}\n`;
  await writeFile(path, text, { flag: "wx", mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw new SavedChatError(`${path} is there already; choose another name`);
    throw new SavedChatError(`can't write ${path}: ${error.message}`);
  });
  return messages.length;
}

/** Throws SavedChatError. */
export async function loadMessages(path: string): Promise<readonly ChatMessage[]> {
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new SavedChatError(`can't read ${path}: ${error.message}`);
  });
  const saved = v.safeParse(fileSchema, parsed(text));
  if (saved.success) return saved.output.messages;
  throw new SavedChatError(
    `${path} holds no conversation; it must be JSON like {"messages": [{"role": "user", "content": "…"}]}`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
