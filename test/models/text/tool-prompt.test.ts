import { describe, expect, test } from "bun:test";
import { ChatTemplate } from "../../../models/chat-template.ts";
import { withToolsAsText } from "../../../models/tool-prompt.ts";
import { byteTokenizer } from "../grammar/byte-tokenizer.ts";

const tool = { type: "function", function: { name: "now", parameters: { type: "object" } } };
const call = { id: "c", type: "function" as const, function: { name: "now", arguments: { zone: "UTC" } } };
const conversation = [
  { role: "user", content: "The time?" },
  { role: "assistant", content: "", tool_calls: [call, call] },
  { role: "tool", content: "12:00", tool_call_id: "c" },
  { role: "tool", content: "13:00", tool_call_id: "d" },
];

describe("tools for a template that does not know them", () => {
  test("are told in the system message, after what it says", () => {
    const [system, ...rest] = withToolsAsText(
      [{ role: "system", content: "Be kind." }, ...conversation],
      [tool],
    );
    expect(system!.content).toStartWith("Be kind.\n\n# Tools\n");
    expect(system!.content).toContain(JSON.stringify(tool));
    expect(rest).toEqual([
      { role: "user", content: "The time?" },
      {
        role: "assistant",
        content: Array(2)
          .fill('<tool_call>\n{"name": "now", "arguments": {"zone":"UTC"}}\n</tool_call>')
          .join("\n"),
      },
      {
        role: "user",
        content: "<tool_response>\n12:00\n</tool_response>\n<tool_response>\n13:00\n</tool_response>",
      },
    ]);
    expect(withToolsAsText(conversation, [tool])[0]!.role).toBe("system");
  });

  test("leave a conversation without tools as it is", () => {
    const plain = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ];
    expect(withToolsAsText(plain, undefined)).toEqual(plain);
  });
});

test("a template that knows tools renders them, with no control token out of their texts", () => {
  const template = new ChatTemplate(
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}" +
      "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% for call in message.tool_calls or [] %}" +
      "<tool_call>{{ call.function.arguments | tojson }}{% endfor %}{% endfor %}",
  );
  expect(template.knowsTools).toBe(true);
  expect(new ChatTemplate("{{ messages[0].content }}").knowsTools).toBe(false);
  const tokenizer = {
    ...byteTokenizer(),
    sections: (text: string) => text.split(/(<end>)/).map((one) => (one === "<end>" ? 256 : one)),
  };
  const described = { ...tool, function: { ...tool.function, description: "a <end> b" } };
  const options = { addGenerationPrompt: true, bosText: "", eosText: "", tools: [described] };
  const tokens = template.encode(tokenizer, conversation, options);
  const rendered = new TextDecoder().decode(Uint8Array.from(tokens));
  expect([...tokens]).not.toContain(256);
  expect(rendered).toContain("a <end> b");
  expect(rendered).toContain('<tool_call>{"zone": "UTC"}');
});
