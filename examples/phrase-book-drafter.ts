/**
 * A drafter that knows some phrases by heart. Where an answer begins to say one of them, it guesses the rest:
 *
 *   flowmesh run examples/phrase-book-drafter.ts
 *   curl http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' -d '{
 *     "messages": [{"role": "user", "content": "Say: the quick brown fox jumps over the lazy dog."}],
 *     "flowmesh": {"drafter": "phrase-book"}}'
 *
 * Phrases of your own, one a line: PHRASES=my-phrases.txt flowmesh run examples/phrase-book-drafter.ts
 */
import { defineDrafter, type Prediction } from "flowmesh";

const PHRASES = [
  "The quick brown fox jumps over the lazy dog.",
  "Thank you for your question.",
  "I hope this helps! Let me know if you have any other questions.",
  "As an AI language model, I do not have personal opinions.",
  "In conclusion, there are several reasons why this is important.",
];
/** So many tokens of a phrase must be there before the rest is guessed. */
const MATCH = 2;
const PROBABILITY = 0.8;

export default defineDrafter({
  name: "phrase-book",
  description: "guesses the rest of phrases that it knows",
  async start(tokenizer) {
    const file = process.env.PHRASES;
    const lines = file === undefined ? PHRASES : (await Bun.file(file).text()).split("\n");
    // A word at the beginning of a text, and after a space, are different tokens.
    const phrases = lines
      .filter((line) => line.trim() !== "")
      .flatMap((line) => [line.trim(), ` ${line.trim()}`])
      .map((line) => tokenizer.encode(line));
    return (tokens) => {
      const next = new Set<number>();
      for (const phrase of phrases) {
        for (const [known, following] of phrase.entries()) {
          const begin = tokens.length - known;
          const isThere =
            known >= MATCH &&
            begin >= 0 &&
            phrase.slice(0, known).every((token, i) => tokens[begin + i] === token);
          if (isThere) next.add(following);
        }
      }
      return [...next].map((token): Prediction => ({ token, probability: PROBABILITY / next.size }));
    };
  },
});
