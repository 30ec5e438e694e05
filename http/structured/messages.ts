import * as v from "valibot";
import { invalidRequest } from "../errors.ts";
import type { ChatMessage } from "../text-port.ts";

const textPart = v.object({
  type: v.literal("text", (issue) => `Only text parts are supported, not ${issue.received}`),
  text: v.string(),
});

const content = v.lazy((input) =>
  Array.isArray(input) ? v.pipe(v.array(textPart), v.minLength(1)) : v.string(),
);

const toolCall = v.object({
  id: v.string(),
  type: v.literal("function", 'Only tools of type "function" are supported'),
  function: v.object({ name: v.string(), arguments: v.string() }),
});

/** A message of a chat request; `toMessage` has the rest of what must hold. */
export const chatMessage = v.object({
  role: v.picklist(["system", "developer", "user", "assistant", "tool"]),
  content: v.nullish(content),
  tool_calls: v.nullish(v.array(toolCall)),
  tool_call_id: v.nullish(v.string()),
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
