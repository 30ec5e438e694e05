import { allows, GrammarError } from "../../../decoding/token-mask.ts";
import type { GrammarEngine } from "../../../models/grammar/grammar-engine.ts";
import { BYTE_END } from "../../models/grammar/byte-tokenizer.ts";

/** Whether the text may be a whole answer. `grammar`: a session's; `engine`: over the tokens of `byteTokenizer`. */
export async function letsThrough(engine: GrammarEngine, grammar: string, text: string): Promise<boolean> {
  const answer = [...new TextEncoder().encode(text)];
  try {
    const mask = await engine.next("whole", { grammar, stopTokens: [BYTE_END] }, answer);
    return allows(mask, BYTE_END);
  } catch (error) {
    if (error instanceof GrammarError) return false;
    throw error;
  } finally {
    engine.release("whole");
  }
}
