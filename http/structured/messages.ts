import * as v from "valibot";
import { described, oneForm } from "../described.ts";
import { invalidRequest } from "../errors.ts";
import type { ChatMessage } from "../text-port.ts";

const textPart = v.object({
  type: described(
    v.literal("text", (issue) => `Only text parts are supported, not ${issue.received}`),
    "The only kind of part.",
  ),
  text: described(v.string(), "The part's text; parts are joined by line ends."),
});

const content = oneForm({ text: v.string(), parts: v.pipe(v.array(textPart), v.minLength(1)) }, (input) =>
  Array.isArray(input) ? "parts" : "text",
);

const toolCall = v.object({
  id: described(v.string(), "Id of the call, as the assistant gave it."),
  type: described(
    v.literal("function", 'Only tools of type "function" are supported'),
    "The only kind of call.",
  ),
  function: described(
    v.object({
      name: described(v.string(), "Name of the function."),
      arguments: described(v.string(), "Its arguments as JSON, as the assistant gave them."),
    }),
    "What was called.",
  ),
});

/** A message of a chat request; `toMessage` has the rest of what must hold. */
export const chatMessage = v.object({
  role: described(v.picklist(["system", "developer", "user", "assistant", "tool"]), "Who says it."),
  content: described(v.nullish(content), "What is said; only an assistant's message with calls needs none."),
  tool_calls: described(v.nullish(v.array(toolCall)), "Of an assistant's message: the calls that it made."),
  tool_call_id: described(
    v.nullish(v.string()),
    "Of a tool's message, where it is needed: the call it answers.",
  ),
});

/** `index`: in the request's messages. Throws ApiError 400 for fields that do not suit the role. */
export function toMessage(message: v.InferOutput<typeof chatMessage>, index: number): ChatMessage {
  const { role, content: said, tool_calls: calls, tool_call_id: id } = message;
  const param = `messages[${index}]`;
  const hasCalls = calls != null && calls.length > 0;
  if (hasCalls && role !== "assistant") {
    throw invalidRequest(`${param}.tool_calls: only an assistant calls tools`, `${param}.tool_calls`);
  }
  if (said == null && !hasCalls) throw missing(`${param}.content`);
  if (role === "tool" && id == null) throw missing(`${param}.tool_call_id`);
  return {
    role: role === "developer" ? "system" : role,
    content: typeof said === "string" ? said : (said ?? []).map((part) => part.text).join("\n"),
    ...(role === "tool" && id != null && { tool_call_id: id }),
    ...(hasCalls && {
      tool_calls: calls.map(({ function: called, ...call }, at) => ({
        ...call,
        function: {
          name: called.name,
          arguments: parsed(called.arguments, `${param}.tool_calls[${at}].function.arguments`),
        },
      })),
    }),
  };
}

function parsed(json: string, param: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw invalidRequest(`${param}: it must be JSON, as the assistant gave it`, param);
  }
}

const missing = (param: string) => invalidRequest(`${param} is missing`, param, "missing_required_parameter");
