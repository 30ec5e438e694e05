import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPrompts, splitPrompts } from "../../bench/prompts.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "prompts-"));
});

afterAll(() => rm(folder, { recursive: true }));

async function read(...lines: string[]) {
  const path = join(folder, `${crypto.randomUUID()}.jsonl`);
  await Bun.write(path, lines.join("\n"));
  return readPrompts(path);
}

async function refusal(...lines: string[]): Promise<string> {
  try {
    await read(...lines);
    return "";
  } catch (error) {
    return String(error);
  }
}

describe("a prompts file", () => {
  test("has prompts and conversations; ids and kinds may be left out", async () => {
    const prompts = await read(
      '{"prompt": "Hello"}',
      "",
      '{"id": "talk", "kind": "conversation", "turns": ["Hello", "And then?"]}',
    );
    expect(prompts).toEqual([
      { id: "line 1", kind: "other", turns: ["Hello"] },
      { id: "talk", kind: "conversation", turns: ["Hello", "And then?"] },
    ]);
  });

  test("that has something else is refused with the line and what would be right", async () => {
    expect(await refusal('{"prompt": "Hello"}', '{"text": "Hello"}')).toMatch(
      /line 2: expected a JSON object with "prompt" \(text\) or "turns"/,
    );
    expect(await refusal('{"turns": []}')).toContain("line 1");
    expect(await refusal("Hello")).toContain("line 1");
    expect(await refusal("", "")).toContain("there is no prompt in it");
    expect(await refusal('{"id": "a", "prompt": "x"}', '{"id": "a", "prompt": "y"}')).toContain(
      'two prompts have the id "a"',
    );
  });
});

describe("the prompts that come along", () => {
  const shipped = readPrompts(join(import.meta.dir, "../../bench/prompts.jsonl"));

  test("are ten of each of six kinds, some conversations with two turns", async () => {
    const kinds = Map.groupBy(await shipped, ({ kind }) => kind);
    expect([...kinds].map(([kind, prompts]) => [kind, prompts.length])).toEqual(
      ["conversation", "code", "maths", "instruction", "summary", "question"].map((kind) => [kind, 10]),
    );
    const turns = kinds.get("conversation")?.map((prompt) => prompt.turns.length) ?? [];
    expect(turns.filter((count) => count === 2).length).toBeGreaterThanOrEqual(3);
  });

  test.each([1, 6, 12, 30, 60, 100])("%d of them are measured, and others held out", async (count) => {
    const { measured, heldOut } = splitPrompts(await shipped, count);
    expect(measured.length).toBe(Math.min(count, 60));
    expect(heldOut.length).toBe(Math.min(count, 60 - measured.length));
    expect(measured.filter((prompt) => heldOut.includes(prompt))).toEqual([]);
    if (count < 6 || count > 60) return;
    const kinds = Map.groupBy(measured, ({ kind }) => kind);
    expect([...kinds.values()].map((prompts) => prompts.length)).toEqual(Array(6).fill(count / 6));
  });
});
