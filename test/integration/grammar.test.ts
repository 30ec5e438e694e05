import { expect, test } from "bun:test";
import Ajv from "ajv/dist/2020";
import { startMesh } from "../../bench/running-mesh.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { answerGrammar } from "../../http/structured/answer-format.ts";
import { type Ask, defaultModelText, MeshSessions } from "./mesh-sessions.ts";

const schema = {
  type: "object",
  properties: {
    kind: { enum: ["dwarf", "giant", "none"] },
    planets: { type: "integer", minimum: 0, maximum: 20 },
    isBright: { type: "boolean" },
  },
  required: ["kind", "planets"],
  additionalProperties: false,
};
const tool = { name: "look_up", parameters: { schema, param: "tools[0].function.parameters" } };

test("answers held to a form are the same for policies and splits, and fit", async () => {
  const text = await defaultModelText();
  const prompt = text.encodeChat([{ role: "user", content: "Describe the Sun as JSON." }]);
  const grammars = [
    answerGrammar({ schema, param: "response_format" }, undefined),
    answerGrammar(undefined, { callable: [tool], mustCall: true, parallel: false }),
  ];
  const questions = grammars.flatMap((grammar) =>
    [0, 1].map((temperature) => ({
      prompt,
      sampling: { ...GREEDY, temperature, seed: 5 },
      maxTokens: 80,
      ...(grammar !== undefined && { grammar }),
    })),
  );
  const answersOf = async (stages: string, asks: readonly Ask[]) => {
    const mesh = await startMesh("--stages", stages);
    const sessions = await MeshSessions.connect(mesh);
    try {
      return await sessions.askAll(asks, 4, text.endTokens);
    } finally {
      await sessions.close();
      await mesh.stop();
    }
  };
  const plain = await answersOf(
    "1",
    questions.map((question) => ({ ...question, policy: "autoregressive" })),
  );
  const policies = ["flowspec", "pipedec", "fullflow:gain=0.1"];
  // Each question has all policies but one, and each policy all questions but one or two.
  const asked = questions.flatMap((question, index) =>
    policies
      .filter((_, policy) => policy !== index % policies.length)
      .map((policy) => ({ index, question, policy })),
  );
  const split = await answersOf(
    "3",
    asked.map(({ question, policy }) => ({ ...question, policy })),
  );
  const fits = new Ajv({ strict: false }).compile(schema);
  for (const [index, { tokens }] of plain.entries()) {
    const decoder = text.decoder();
    const answer = decoder.push(tokens) + decoder.flush();
    const json =
      index < 2
        ? answer
        : /^<tool_call>\n\{"name": "look_up", "arguments": (.*)\}\n<\/tool_call>$/.exec(answer)?.[1];
    expect({ answer, fits: fits(JSON.parse(json ?? "")), errors: fits.errors }).toEqual({
      answer,
      fits: true,
      errors: null,
    });
  }
  for (const [place, { index }] of asked.entries())
    expect(split[place]?.tokens).toEqual(plain[index]!.tokens);
  expect(split.some(({ tokens, commits }) => tokens.length > commits)).toBe(true);
}, 300_000);
