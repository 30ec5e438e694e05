import { afterEach, beforeEach, expect, type Mock, spyOn, test } from "bun:test";
import { CompiledGrammar, GrammarCompiler } from "@mlc-ai/web-xgrammar";
import { type AnswerRule, allows } from "../../../decoding/token-mask.ts";
import { GrammarEngine, IDLE_GRAMMARS_MAX } from "../../../models/grammar/grammar-engine.ts";
import { BYTE_END, byteTokenizer } from "./byte-tokenizer.ts";

/** What xgrammar is asked to compile and to free. */
let compiling: Mock<GrammarCompiler["compileStructuralTag"]>;
let disposing: Mock<CompiledGrammar["dispose"]>;
let engine: GrammarEngine;

beforeEach(async () => {
  compiling = spyOn(GrammarCompiler.prototype, "compileStructuralTag");
  disposing = spyOn(CompiledGrammar.prototype, "dispose");
  engine = await GrammarEngine.open(byteTokenizer());
});
afterEach(() => {
  compiling.mockRestore();
  disposing.mockRestore();
});

/** Lets only this text through. */
const only = (text: string): AnswerRule => ({
  grammar: JSON.stringify({ type: "structural_tag", format: { type: "const_string", value: text } }),
  stopTokens: [BYTE_END],
});
const bytes = (text: string) => [...new TextEncoder().encode(text)];

/** Whether the session's answer may be `text`, and nothing else. */
async function holds(session: string, text: string): Promise<boolean> {
  for (let length = 0; length <= text.length; length++) {
    const mask = await engine.next(session, only(text), bytes(text.slice(0, length)));
    const allowed = Array.from({ length: 257 }, (_, token) => token).filter((token) => allows(mask, token));
    if (allowed.length !== 1 || allowed[0] !== (bytes(text)[length] ?? BYTE_END)) return false;
  }
  return true;
}

test("a session with the grammar of another, or of one that ended, compiles nothing", async () => {
  expect(await holds("first", "yes")).toBe(true);
  expect(await holds("beside", "yes")).toBe(true);
  engine.release("first");
  engine.release("beside");
  expect(await holds("later", "yes")).toBe(true);
  // Other ends of the answer are no other grammar.
  const mask = await engine.next("ends", { ...only("yes"), stopTokens: [0] }, bytes("yes"));
  expect([allows(mask, 0), allows(mask, BYTE_END)]).toEqual([true, false]);
  expect(compiling).toHaveBeenCalledTimes(1);
  await engine.next("other", only("no"), []);
  expect(compiling).toHaveBeenCalledTimes(2);
});

test("of grammars that nobody uses those that were used last stay, and the rest are freed", async () => {
  const texts = Array.from({ length: IDLE_GRAMMARS_MAX }, (_, index) => `text ${index}`);
  for (const text of texts) {
    await engine.next("s", only(text), []);
    engine.release("s");
  }
  expect(disposing).not.toHaveBeenCalled();
  await engine.next("s", only("text 0"), []);
  engine.release("s");
  await engine.next("s", only("one more"), []);
  engine.release("s");
  await Bun.sleep(0);
  expect(disposing).toHaveBeenCalledTimes(1);
  expect(compiling).toHaveBeenCalledTimes(IDLE_GRAMMARS_MAX + 1);
  await engine.next("s", only("text 0"), []);
  expect(compiling).toHaveBeenCalledTimes(IDLE_GRAMMARS_MAX + 1);
  await engine.next("s", only("text 1"), []);
  expect(compiling).toHaveBeenCalledTimes(IDLE_GRAMMARS_MAX + 2);
});

test("a grammar in use outlives any number of others", async () => {
  await engine.next("long", only("kept"), bytes("k"));
  for (let index = 0; index < 2 * IDLE_GRAMMARS_MAX; index++) {
    await engine.next("short", only(`text ${index}`), []);
    engine.release("short");
  }
  const compiled = compiling.mock.calls.length;
  expect(await holds("long", "kept")).toBe(true);
  expect(await holds("second", "kept")).toBe(true);
  expect(compiling).toHaveBeenCalledTimes(compiled);
  await Bun.sleep(0);
  expect(disposing).toHaveBeenCalledTimes(IDLE_GRAMMARS_MAX);
});

test("a grammar that failed to compile is tried anew", async () => {
  compiling.mockImplementationOnce(() => Promise.reject(new Error("out of memory")));
  await expect(engine.next("s", only("yes"), [])).rejects.toThrow("out of memory");
  expect(await holds("s", "yes")).toBe(true);
  expect(compiling).toHaveBeenCalledTimes(2);
});
