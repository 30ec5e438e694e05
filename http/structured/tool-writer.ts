import type { ChoiceWriter, Fields } from "../reply.ts";
import { type AnswerPart, ToolCallReader } from "./tool-use.ts";

interface WholeCall {
  readonly id: string;
  readonly name: string;
  arguments: string;
}

/** A choice of a chat that may hold calls, in OpenAI's form. */
export function toolWriter(): ChoiceWriter {
  const reader = new ToolCallReader();
  const calls: WholeCall[] = [];
  let content = "";
  const fieldsOf = (part: AnswerPart): Fields => {
    if (part.kind === "text") {
      content += part.text;
      return { delta: { content: part.text } };
    }
    const index = part.kind === "call" ? calls.length : calls.length - 1;
    if (part.kind === "call") {
      const id = `call_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
      calls.push({ id, name: part.name, arguments: "" });
      const call = { index, id, type: "function", function: { name: part.name, arguments: "" } };
      return { delta: { tool_calls: [call] } };
    }
    const call = calls[index];
    if (call !== undefined) call.arguments += part.text;
    return { delta: { tool_calls: [{ index, function: { arguments: part.text } }] } };
  };
  return {
    push: (text) => reader.push(text).map(fieldsOf),
    end: () => reader.end().map(fieldsOf),
    whole: () => ({
      message: {
        role: "assistant",
        content: content === "" && calls.length > 0 ? null : content,
        refusal: null,
        ...(calls.length > 0 && {
          tool_calls: calls.map(({ id, name, arguments: text }) => ({
            id,
            type: "function",
            function: { name, arguments: text },
          })),
        }),
      },
    }),
    finishReason: (reason) =>
      reason === "stop" && calls.length > 0 && !reader.isInCall ? "tool_calls" : reason,
  };
}
