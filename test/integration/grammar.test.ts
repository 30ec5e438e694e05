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
  const asks = (policies: readonly string[]): Ask[] =>
    grammars.flatMap((grammar) =>
      policies.flatMap((policy) =>
        [0, 1].map((temperature) => ({
          prompt,
          sampling: { ...GREEDY, temperature, seed: 5 },
          policy,
          maxTokens: 80,
          ...(grammar !== undefined && { grammar }),
        })),
      ),
    );
  const answersOf = async (stages: string, policies: readonly string[]) => {
    const mesh = await startMesh("--stages", stages);
    const sessions = await MeshSessions.connect(mesh);
    try {
      return await sessions.askAll(asks(policies), 4, text.endTokens);
    } finally {
      await sessions.close();
      await mesh.stop();
    }
  };
  const plain = await answersOf("1", ["autoregressive"]);
  const policies = ["flowspec", "pipedec", "fullflow:gain=0.1"];
  const split = await answersOf("3", policies);
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
    const group = Math.floor(index / 2) * 2 * policies.length;
    for (let policy = 0; policy < policies.length; policy++) {
      expect(split[group + 2 * policy + (index % 2)]?.tokens).toEqual(tokens);
    }
  }
  expect(split.some(({ tokens, commits }) => tokens.length > commits)).toBe(true);
}, 300_000);
