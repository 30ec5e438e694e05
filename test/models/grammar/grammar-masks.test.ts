import { afterAll, describe, expect, test } from "bun:test";
import { allows, GrammarError, type TokenMask } from "../../../decoding/token-mask.ts";
import { GrammarEngine } from "../../../models/grammar/grammar-engine.ts";
import { GrammarMasks } from "../../../models/grammar/grammar-masks.ts";
import { defaultModelPath } from "../../model.ts";
import { seededRandom } from "../../simulation/world.ts";
import { BYTE_END, byteTokenizer } from "./byte-tokenizer.ts";

const PIECES = ['{"', '": ', "<tool", "_call>\n", "ab", "}\n</"];
const tokenizer = byteTokenizer(...PIECES);
const SIZE = tokenizer.vocabSize;

const list = 'root ::= "[" ([a-c] (", " [a-c]){0,3})? "]"';
const RULES = [
  { type: "grammar", grammar: list },
  {
    type: "triggered_tags",
    triggers: ["<tool_call>"],
    tags: [
      {
        type: "tag",
        begin: '<tool_call>\n{"name": "f", "arguments": ',
        content: { type: "grammar", grammar: 'root ::= "{\\"" [ab]* "\\": 1}"' },
        end: "}\n</tool_call>",
      },
    ],
    stop_after_first: false,
  },
].map((tag) => ({
  grammar: JSON.stringify({ type: "structural_tag", format: tag }),
  stopTokens: [BYTE_END],
}));

const tokensOf = (mask: TokenMask) =>
  Array.from({ length: SIZE }, (_, token) => token).filter((token) => allows(mask, token));

describe("masks", () => {
  test("are those of a matcher that begins anew, wherever the answer was before", async () => {
    const random = seededRandom(11);
    const engine = await GrammarEngine.open(tokenizer);
    for (const [index, rule] of RULES.entries()) {
      let answer: number[] = [];
      for (let step = 0; step < 60; step++) {
        const mask = tokensOf(await engine.next(`s${index}`, rule, answer));
        const anew = tokensOf(await engine.next(`new${index}-${step}`, rule, answer));
        engine.release(`new${index}-${step}`);
        expect({ answer, mask }).toEqual({ answer, mask: anew });
        const next = mask.filter((token) => token !== BYTE_END);
        // Back to an earlier place now and then, as after a walk that a replay repeats.
        if (next.length === 0 || random() < 0.3)
          answer = answer.slice(0, Math.floor(random() * answer.length));
        else answer = [...answer, next[Math.floor(random() * next.length)]!];
      }
    }
  });

  test("allow what their grammar says, and the end where it is satisfied", async () => {
    const engine = await GrammarEngine.open(tokenizer);
    const after = async (text: string) =>
      tokensOf(await engine.next("s", RULES[0]!, [...new TextEncoder().encode(text)]));
    const codes = (text: string) => [...new TextEncoder().encode(text)];
    expect(await after("")).toEqual(codes("["));
    expect(await after("[")).toEqual(codes("]abc"));
    expect(await after("[a, b, c, a")).toEqual(codes("]"));
    expect(await after("[a]")).toEqual([BYTE_END]);
  });
});

describe("the worker that makes masks", () => {
  let masks: GrammarMasks | undefined;
  afterAll(() => masks?.close());

  test("outlives a grammar that can't be compiled", async () => {
    masks = new GrammarMasks({ modelPath: await defaultModelPath() });
    const bad = { grammar: "{", stopTokens: [2] };
    const failure = await masks.next("bad", bad, []).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(GrammarError);
    const good = await masks.next("good", { ...RULES[0]!, stopTokens: [2] }, []);
    expect(allows(good, 2)).toBe(false);
    const again = await masks.next("bad", bad, []).catch((error: unknown) => error);
    expect(again).toBeInstanceOf(GrammarError);
    expect(await masks.next("good", { ...RULES[0]!, stopTokens: [2] }, [])).toEqual(good);
  }, 120_000);
});
