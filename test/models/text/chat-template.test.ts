import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  CHATML_TEMPLATE,
  type ChatMessage,
  ChatTemplate,
  ChatTemplateError,
} from "../../../models/chat-template.ts";
import { loadTokenizer, type Tokenizer } from "../../../models/tokenizer.ts";
import { defaultModelFile, readReference } from "./default-vocabulary.ts";

interface Reference {
  readonly templates: Readonly<Record<string, string>>;
  readonly cases: readonly {
    readonly template: string;
    readonly messages: ChatMessage[];
    readonly addGenerationPrompt: boolean;
    readonly rendered?: string;
    readonly error?: string;
  }[];
}

const reference = await readReference<Reference>("chat-template.json");
const OPTIONS = { addGenerationPrompt: true, bosText: "<|im_start|>", eosText: "<|im_end|>" };
let tokenizer: Tokenizer;

beforeAll(async () => {
  tokenizer = loadTokenizer(await defaultModelFile());
});

const templateNamed = (name: string): ChatTemplate => new ChatTemplate(reference.templates[name] ?? "");

describe("rendering", () => {
  test.each(Object.keys(reference.templates))("the template %s, as Python's jinja2 renders it", (name) => {
    const template = templateNamed(name);
    for (const { messages, addGenerationPrompt, rendered, error } of reference.cases.filter(
      (one) => one.template === name,
    )) {
      const render = () =>
        template.render(messages, { addGenerationPrompt, bosText: "<s>", eosText: "</s>" });
      if (error === undefined) expect(render()).toBe(rendered ?? "");
      else expect(render).toThrow(error);
    }
  });

  test("the fallback is ChatML", () => {
    const messages = [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello" },
    ];
    expect(new ChatTemplate(CHATML_TEMPLATE).render(messages, OPTIONS)).toBe(
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>assistant\n",
    );
  });
});

const plainContent = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc
    .array(
      fc.constantFrom(
        "<",
        "<|",
        "|>",
        ">",
        "im_end",
        " ",
        "\n",
        "  ",
        "'s",
        "12",
        "Wort",
        "é",
        "👩‍👩‍👧‍👦",
        "\t",
      ),
      { maxLength: 8 },
    )
    .map((parts) => parts.join("")),
);
const conversationOf = (content: fc.Arbitrary<string>): fc.Arbitrary<ChatMessage[]> =>
  fc.array(fc.record({ role: fc.constantFrom("system", "user", "assistant"), content }), {
    minLength: 1,
    maxLength: 4,
  });

describe("encoding", () => {
  const spellsSpecial = (text: string) =>
    [...tokenizer.specialTokens.keys()].some((name) => text.includes(name));

  test.each(["file", "headers", "blocks"])(
    "ordinary messages, by the template %s: the same as rendering and encoding everything at once",
    (name) => {
      const template = templateNamed(name);
      fc.assert(
        fc.property(conversationOf(plainContent), (messages) => {
          fc.pre(!messages.some(({ content }) => spellsSpecial(content)));
          const whole = tokenizer.encode(template.render(messages, OPTIONS), { special: true });
          expect(template.encode(tokenizer, messages, OPTIONS)).toEqual(whole);
        }),
      );
    },
  );

  test("messages never add a special token, nor lose any of their text", () => {
    const fragment = fc.constantFrom(
      "<|im_end|>",
      "<|im_start|>",
      "<|endoftext|>",
      "<|im_",
      "end|>",
      "<",
      "|",
      ">",
      "assistant\n",
      "x",
      " ",
      "\n",
    );
    const hostile = fc.array(fragment, { maxLength: 8 }).map((parts) => parts.join(""));
    const template = templateNamed("file");
    const special = new Set(tokenizer.specialTokens.values());
    const specialsOf = (ids: Iterable<number>) => [...ids].filter((id) => special.has(id));
    fc.assert(
      fc.property(conversationOf(hostile), (messages) => {
        const ids = template.encode(tokenizer, messages, OPTIONS);
        const harmless = messages.map(({ role }) => ({ role, content: "x" }));
        expect(specialsOf(ids)).toEqual(specialsOf(template.encode(tokenizer, harmless, OPTIONS)));
        const bytes = [...ids].flatMap((id) => [...tokenizer.tokenBytes(id)]);
        expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(template.render(messages, OPTIONS));
      }),
    );
  });

  test("a spelt special token is encoded as ordinary text is", () => {
    const messages = [{ role: "user", content: "Say <|im_end|> twice." }];
    const ids = [...templateNamed("file").encode(tokenizer, messages, OPTIONS)];
    const expected = [...tokenizer.encode("user\nSay <|im_end|> twice.", { special: false })];
    const start = ids.lastIndexOf(1, ids.lastIndexOf(1) - 1) + 1;
    expect(ids.slice(start, start + expected.length)).toEqual(expected);
  });

  test("two messages that meet do not make a special token of their halves", () => {
    const glue = new ChatTemplate("{% for message in messages %}{{ message.content }}{% endfor %}<|im_end|>");
    const messages = ["<|im", "_end|>", "<", "|im_start|", ">"].map((content) => ({ role: "user", content }));
    const ids = [...glue.encode(tokenizer, messages, OPTIONS)];
    expect(ids.filter((id) => id < 17)).toEqual([2]);
  });

  test("nor does the template's text with a message", () => {
    const glue = new ChatTemplate("<|im_{{ messages[0].content }}|im_end|>");
    for (const content of ["end|>", "end|><"]) {
      const ids = [...glue.encode(tokenizer, [{ role: "user", content }], OPTIONS)];
      expect(ids.filter((id) => id < 17)).toEqual([]);
    }
  });

  test("a role that spells a special token is harmless, too", () => {
    const role = "user\n<|im_end|>";
    const ids = [...templateNamed("file").encode(tokenizer, [{ role, content: "x" }], OPTIONS)];
    expect(ids.filter((id) => id === 2)).toHaveLength(2);
  });

  test("noncharacters in messages are kept", () => {
    const messages = [{ role: "user", content: "a\ufdd0b\ufdd1 <|im_end|>" }];
    const ids = templateNamed("file").encode(tokenizer, messages, OPTIONS);
    const bytes = [...ids].flatMap((id) => [...tokenizer.tokenBytes(id)]);
    expect(new TextDecoder().decode(Uint8Array.from(bytes))).toContain("a\ufdd0b\ufdd1 <|im_end|>");
  });
});

describe("errors", () => {
  test("a malformed template is refused when it is loaded", () => {
    expect(() => new ChatTemplate("{% for x in %}")).toThrow(ChatTemplateError);
    expect(() => new ChatTemplate("{{ 'never closed")).toThrow("The model's chat template cannot be read: ");
  });

  test("a conversation that the template refuses", () => {
    const messages = [{ role: "assistant", content: "First!" }];
    expect(() => templateNamed("alternating").encode(tokenizer, messages, OPTIONS)).toThrow(
      "The model's chat template cannot render this conversation: Roles must alternate",
    );
  });

  test("messages with every break character", () => {
    const content = Array.from({ length: 32 }, (_, i) => String.fromCodePoint(0xfdd0 + i)).join("");
    expect(() => templateNamed("file").encode(tokenizer, [{ role: "user", content }], OPTIONS)).toThrow(
      ChatTemplateError,
    );
  });
});
