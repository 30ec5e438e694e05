import type { SamplingParams } from "../decoding/sampling-params.ts";
import type { ChatMessage, TextPort } from "../http/text-port.ts";
import type { SessionRecord } from "./session-record.ts";
import { type Bench, runSession, type SessionRun } from "./session-run.ts";

export interface ConversationOrder {
  readonly policy: string;
  /** What the user says, one text a turn. */
  readonly turns: readonly string[];
  readonly sampling: SamplingParams;
  /** Longest answer. */
  readonly maxTokens: number;
}

export interface PlayedTurn {
  readonly run: SessionRun;
  readonly record: SessionRecord;
}

/** Plays all turns, one session each: a later turn's prompt holds the earlier turns and the answers given. */
export async function playConversation(
  bench: Bench,
  text: Pick<TextPort, "encodeChat" | "decoder" | "endTokens">,
  { policy, turns, sampling, maxTokens }: ConversationOrder,
): Promise<PlayedTurn[]> {
  const messages: ChatMessage[] = [];
  const played: PlayedTurn[] = [];
  for (const content of turns) {
    messages.push({ role: "user", content });
    const prompt = text.encodeChat(messages);
    const turn = await runSession(bench, { policy, prompt, sampling, maxTokens, stopTokens: text.endTokens });
    played.push(turn);
    const decoder = text.decoder();
    messages.push({ role: "assistant", content: decoder.push(turn.run.tokens) + decoder.flush() });
  }
  return played;
}
