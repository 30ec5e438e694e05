import type { ChatMessage } from "./chat-template.ts";

/**
 * A conversation with tools for a template that knows nothing of them: the tools are told in the system message,
 * calls are written as the model is to write them, and results come from the user. The words are those of
 * Qwen2.5's template, which follows Hermes.
 */
export function withToolsAsText(
  messages: readonly ChatMessage[],
  tools: readonly unknown[] | undefined,
): ChatMessage[] {
  const plain: ChatMessage[] = [];
  for (const message of messages) {
    const { role, content, tool_calls: calls = [] } = message;
    const previous = plain.at(-1);
    if (role !== "tool") {
      const texts = [content, ...calls.map(({ function: called }) => callText(called))];
      plain.push({ role, content: texts.filter((text) => text !== "").join("\n") });
    } else if (previous?.role === "user" && previous.content.startsWith(RESULT_START)) {
      // Results of calls that were made at once are one message.
      plain[plain.length - 1] = { role: "user", content: `${previous.content}\n${resultText(content)}` };
    } else {
      plain.push({ role: "user", content: resultText(content) });
    }
  }
  if (tools === undefined) return plain;
  const [first, ...rest] = plain;
  if (first?.role !== "system") return [{ role: "system", content: toolText(tools) }, ...plain];
  return [{ role: "system", content: `${first.content}\n\n${toolText(tools)}` }, ...rest];
}

const RESULT_START = "<tool_response>\n";

const resultText = (content: string): string => `${RESULT_START}${content}\n</tool_response>`;

const callText = (called: { readonly name: string; readonly arguments: unknown }): string =>
  `<tool_call>\n{"name": ${JSON.stringify(called.name)}, "arguments": ${JSON.stringify(called.arguments)}}\n</tool_call>`;

const toolText = (tools: readonly unknown[]): string => `# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
${tools.map((tool) => JSON.stringify(tool)).join("\n")}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>`;
