import type { ChoiceWriter, Fields } from "./reply.ts";

/** A choice that is text and nothing else. */
export function textWriter(piece: (text: string) => Fields, whole: (text: string) => Fields): ChoiceWriter {
  let all = "";
  return {
    push(text) {
      all += text;
      return text === "" ? [] : [piece(text)];
    },
    end: () => [],
    whole: () => whole(all),
    finishReason: (reason) => reason,
  };
}
