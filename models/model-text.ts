import { CHATML_TEMPLATE, type ChatMessage, ChatTemplate, ChatTemplateError } from "./chat-template.ts";
import { openGguf } from "./gguf/gguf-file.ts";
import { MetadataReader } from "./gguf/metadata-reader.ts";
import { TokenTextDecoder } from "./text-decoder.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer.ts";
import { withToolsAsText } from "./tool-prompt.ts";
import type { ModelFile } from "./vocabulary.ts";

/** Between text and a model's tokens, both ways. */
export interface ModelText {
  readonly tokenizer: Tokenizer;
  /**
   * Prompt of a conversation, ending where the assistant's answer begins. `tools`: descriptions in OpenAI's
   * form; a template that does not know tools is given them as text.
   * @throws {ChatTemplateError} when the model's template cannot render it.
   */
  encodeChat(messages: readonly ChatMessage[], tools?: readonly unknown[]): Uint32Array;
  /**
   * The text's tokens, with a beginning-of-text token where the model wants one. The whole prompt is the
   * caller's own, so control tokens may be spelled in it.
   */
  encodeText(text: string): Uint32Array;
  /** A decoder for one answer; control tokens give no text. */
  decoder(): TokenTextDecoder;
  /** Bytes of UTF-8 that a token stands for. */
  tokenBytes(token: number): Uint8Array;
  readonly endTokens: readonly number[];
  readonly vocabularySize: number;
}

/**
 * The file's own chat template is used; a file without one is taken to speak ChatML when its vocabulary has
 * <|im_start|> and <|im_end|>, and otherwise has no chat.
 * @throws {ModelFileError} when the file has no usable tokenizer.
 * @throws {ChatTemplateError} when the file's template is malformed.
 */
export function createModelText(file: ModelFile): ModelText {
  const tokenizer = loadTokenizer(file);
  const template = chatTemplateOf(file, tokenizer);
  const nameOf = (id: number | undefined): string => (id === undefined ? "" : tokenizer.tokenText(id));
  const options = {
    addGenerationPrompt: true,
    bosText: nameOf(tokenizer.bosToken),
    eosText: nameOf(tokenizer.eosTokens[0]),
  };
  return {
    tokenizer,
    encodeChat(messages, tools) {
      if (!template) {
        throw new ChatTemplateError("This model has no chat template: it only completes plain text.");
      }
      if (template.knowsTools) return template.encode(tokenizer, messages, { ...options, tools });
      return template.encode(tokenizer, withToolsAsText(messages, tools), options);
    },
    encodeText(text) {
      const tokens = tokenizer.encode(text, { special: true });
      const bos = tokenizer.bosToken;
      if (!tokenizer.addsBos || bos === undefined || tokens[0] === bos) return tokens;
      const withBos = new Uint32Array(tokens.length + 1);
      withBos[0] = bos;
      withBos.set(tokens, 1);
      return withBos;
    },
    decoder: () => new TokenTextDecoder(tokenizer, { hide: tokenizer.specialTokens.values() }),
    tokenBytes: (token) => tokenizer.tokenBytes(token),
    endTokens: tokenizer.eosTokens,
    vocabularySize: tokenizer.vocabSize,
  };
}

/** The text side of a model file, which is closed again; see `createModelText` for what it throws. */
export async function loadModelText(path: string): Promise<ModelText> {
  const gguf = await openGguf(path);
  try {
    return createModelText(gguf);
  } finally {
    await gguf.close();
  }
}

function chatTemplateOf(file: ModelFile, tokenizer: Tokenizer): ChatTemplate | undefined {
  const source = new MetadataReader(file).optionalString("tokenizer.chat_template");
  if (source !== undefined) return new ChatTemplate(source);
  const isChatMl = ["<|im_start|>", "<|im_end|>"].every((name) => tokenizer.specialTokens.has(name));
  return isChatMl ? new ChatTemplate(CHATML_TEMPLATE) : undefined;
}
