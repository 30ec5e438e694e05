import { describe, expect, test } from "bun:test";
import { PromptOverlap, SHARED_WORDS } from "../../bench/prompt-overlap.ts";
import { PROMPTS_FILE, readPrompts } from "../../bench/prompts.ts";

const words = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `w${from + i}`);
const measured = [
  { id: "long", kind: "other", turns: [words(20).join(" ")] },
  { id: "short", kind: "other", turns: ["Why is the sea salty?", "And rivers?"] },
];
const overlap = new PromptOverlap(measured);
const find = (...turns: string[]) => overlap.find({ turns });

describe("a prompt overlaps with one that is measured", () => {
  test("from that many words in a row on, and not below", () => {
    expect(find(words(SHARED_WORDS, 3).join(" "))).toBe("long");
    expect(find(words(SHARED_WORDS - 1, 3).join(" "))).toBeUndefined();
    expect(find(["other", ...words(SHARED_WORDS, 7), "text"].join(" "))).toBe("long");
  });

  test("whatever its case, punctuation and spaces", () => {
    expect(find(`(${words(SHARED_WORDS).join(",\n ").toUpperCase()})`)).toBe("long");
    expect(find("“Why is the SEA – salty”, she asked")).toBe("short");
  });

  test("in any of its turns", () => {
    expect(find("Hello!", "And rivers, too")).toBe("short");
  });

  test("but not by words in another order or with others between", () => {
    expect(find("why is the deep sea salty")).toBeUndefined();
    expect(find(words(SHARED_WORDS).reverse().join(" "))).toBeUndefined();
  });
});

test("the prompts for training that come along overlap with none that is measured", async () => {
  const own = new PromptOverlap(await readPrompts(PROMPTS_FILE));
  const training = await readPrompts(`${import.meta.dir}/../../training/prompts/short.jsonl`);
  expect(training.length).toBeGreaterThanOrEqual(20);
  expect(training.flatMap((prompt) => own.find(prompt) ?? [])).toEqual([]);
});
