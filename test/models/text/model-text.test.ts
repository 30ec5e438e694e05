import { describe, expect, test } from "bun:test";
import { ModelFileError } from "../../../models/errors.ts";
import { createModelText } from "../../../models/model-text.ts";
import { defaultModelFile, readReference, readReferenceText } from "./default-vocabulary.ts";

interface Greedy {
  readonly answers: readonly {
    readonly prompt: string;
    readonly promptTokens: number[];
    readonly tokens: number[];
    readonly text: string;
  }[];
}

describe("the default model's text", () => {
  test("prompts and answers of the fp32 reference, both ways", async () => {
    const text = createModelText(await defaultModelFile());
    const { answers } = await readReference<Greedy>("greedy-fp32.json");
    for (const { prompt, promptTokens, tokens, text: answer } of answers) {
      expect([...text.encodeChat([{ role: "user", content: prompt }])]).toEqual(promptTokens);
      const decoder = text.decoder();
      const parts = tokens.map((token) => decoder.push([token]));
      expect(parts.join("") + decoder.flush()).toBe(answer);
    }
  });

  test("plain text has no beginning-of-text token, as the file says", async () => {
    const text = createModelText(await defaultModelFile());
    const { tokens } = await readReference<{ tokens: number[] }>("loss-fp32.json");
    expect([...text.encodeText(await readReferenceText("loss-text.txt"))]).toEqual(tokens);
    expect([...text.encodeText("")]).toEqual([]);
    expect(text.endTokens).toEqual([2, 0]);
    expect(text.vocabularySize).toBe(49152);
  });

  test("a beginning-of-text token is put before plain text where the file wants one, once", async () => {
    const text = createModelText(await defaultModelFile({ "tokenizer.ggml.add_bos_token": true }));
    expect([...text.encodeText("")]).toEqual([1]);
    expect([...text.encodeText("<|im_start|>")]).toEqual([1]);
    expect(text.encodeText("Hello")[0]).toBe(1);
    expect(text.encodeText("Hello")[1]).not.toBe(1);
  });
});

describe("a file without a chat template", () => {
  test("speaks ChatML when its vocabulary does", async () => {
    const text = createModelText(await defaultModelFile({ "tokenizer.chat_template": undefined }));
    const decoded = [...text.encodeChat([{ role: "user", content: "Hi" }])]
      .map((id) => text.tokenizer.tokenText(id).replace("\u010a", "\n"))
      .join("");
    expect(decoded).toBe("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  });

  test("else says that it has no chat", async () => {
    const file = await defaultModelFile({ "tokenizer.chat_template": undefined });
    const tokens = [...(file.metadata.get("tokenizer.ggml.tokens") as string[])];
    tokens[1] = "<other>";
    const metadata = new Map(file.metadata).set("tokenizer.ggml.tokens", tokens);
    const text = createModelText({ path: file.path, metadata });
    expect(() => text.encodeChat([{ role: "user", content: "Hi" }])).toThrow(
      "This model has no chat template",
    );
  });
});

test("a template that is no text is refused", async () => {
  const file = await defaultModelFile({ "tokenizer.chat_template": 7 });
  expect(() => createModelText(file)).toThrow(ModelFileError);
});
