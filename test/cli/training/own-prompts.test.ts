import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beginningLines, ownPromptLines, turnEnds, turnFrame } from "../../../cli/training/own-prompts.ts";
import { loadModelText, type ModelText } from "../../../models/model-text.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";

let folder = "";
let text: ModelText;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "own-prompts-"));
  const model = join(folder, "tiny.gguf");
  await writeTinyGguf(model, {});
  text = await loadModelText(model);
});
afterAll(() => rm(folder, { recursive: true }));

const chat = (content: string) => [...text.encodeChat([{ role: "user", content }])];
const tokensOf = (lines: string): number[][] =>
  lines
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).tokens);
const lineOf = (tokens: readonly number[]) => `${JSON.stringify({ tokens })}\n`;

describe("prompts that a model writes itself", () => {
  test("stand between what its template puts around what a user says", () => {
    const { before, behind } = turnFrame(text);
    for (const content of ["x", "Why is the sky blue?", "two\nlines"]) {
      const whole = chat(content);
      expect(whole.slice(0, before.length)).toEqual([...before]);
      expect(whole.slice(-behind.length)).toEqual([...behind]);
      expect(text.decoder().push(whole.slice(before.length, -behind.length))).toBe(content);
    }
    // Else a model could go on to answer itself.
    expect(turnEnds(text)).toContain(behind[0] as number);
  });

  test("begin as a user's turn does, in many ways and without any", () => {
    const { before, behind } = turnFrame(text);
    const beginnings = tokensOf(beginningLines(text, 200));
    expect(beginnings.length).toBe(200);
    const openings = beginnings.map((tokens) => text.decoder().push(tokens.slice(before.length)));
    for (const [i, opening] of openings.entries()) {
      if (opening !== "") expect([...beginnings[i]!, ...behind]).toEqual(chat(opening));
    }
    expect(new Set(openings).size).toBeGreaterThan(50);
    expect(openings.filter((opening) => opening === "").length).toBeGreaterThan(20);
  });

  test("are kept as text, once each, and without those that say nothing", () => {
    const { before } = turnFrame(text);
    const written = (said: string) => lineOf([...before, ...text.tokenizer.encode(said, { special: false })]);
    const half = [...text.tokenizer.encode("half a letter: é", { special: false })].slice(0, -1);
    const lines = [
      written("Why is tin soft?"),
      written("  Why is tin soft?\n"),
      written("Hm."),
      written("Zinn – löten?"),
      lineOf([...before, ...half, ...text.tokenizer.encode(" and so on", { special: false })]),
    ].join("");
    const prompts = ownPromptLines(lines, text).trimEnd().split("\n");
    expect(prompts.map((line) => JSON.parse(line))).toEqual([
      { prompt: "Why is tin soft?" },
      { prompt: "Zinn – löten?" },
    ]);
  });
});
