import { expect, test } from "bun:test";
import type { TextPort } from "../../http/text-port.ts";
import { createModelText } from "../../models/model-text.ts";
import { defaultModelFile, readReference } from "../models/text/default-vocabulary.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

interface Greedy {
  readonly answers: readonly { readonly prompt: string; readonly promptTokens: number[] }[];
}

/** Characters that this vocabulary cuts into several tokens, and the text of its control tokens. */
const ANSWER = "Grüße, 世界! 🙂👩‍👩‍👧 <b>1234</b>\n\tend";

test("the default model's own tokenizer and template serve as the gateway's text", async () => {
  const text: TextPort = createModelText(await defaultModelFile());
  const tokens = [...text.encodeText(ANSWER)];
  const [endToken = -1] = text.endTokens;
  await using gateway = new ServedGateway(
    new ScriptedSessions({ commits: [...tokens.map((token) => [token]), [endToken]] }),
    { text },
  );
  gateway.sessions.state = { ...gateway.sessions.state, contextLength: 8192 };
  const { answers } = await readReference<Greedy>("greedy-fp32.json");
  for (const { prompt, promptTokens } of answers) {
    const pieces: string[] = [];
    const stream = gateway.client.chat.completions.stream({
      model: "default",
      messages: [{ role: "user", content: prompt }],
    });
    stream.on("content", (piece) => pieces.push(piece));
    expect(await stream.finalContent()).toBe(ANSWER);
    for (const piece of pieces) expect(piece).not.toContain("\uFFFD");
    expect([...gateway.sessions.last.request.prompt]).toEqual(promptTokens);
  }
});
