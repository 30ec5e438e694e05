import { describe, expect, test } from "bun:test";
import { schedule } from "../../bench/schedule.ts";

const prompts = ["a", "b", "c", "d"].map((id) => ({ id, kind: "code", turns: [id] }));
const contenders = ["w", "x", "y", "z"].map((label) => ({ label, spec: label }));
const rounds = schedule({ prompts, contenders, temperatures: [0, 1], repeats: 4, seed: 100 });
const counted = rounds.filter(({ repeat }) => repeat > 0);

describe("the schedule", () => {
  test("has every contender answer every prompt at every temperature in every repeat, once", () => {
    const answers = counted.flatMap(({ prompt, temperature, repeat, contenders: order }) =>
      order.map(({ label }) => `${prompt.id} ${temperature} ${repeat} ${label}`),
    );
    expect(answers.length).toBe(4 * 2 * 4 * 4);
    expect(new Set(answers).size).toBe(answers.length);
  });

  test("begins each temperature with a round that is not counted", () => {
    expect(rounds.map(({ repeat }) => repeat).filter((repeat) => repeat === 0).length).toBe(2);
    expect(rounds[0]).toMatchObject({ repeat: 0, temperature: 0 });
    expect(rounds[1 + 16]).toMatchObject({ repeat: 0, temperature: 1 });
  });

  test("gives a prompt the same seed in every repeat and at every temperature, and others other ones", () => {
    const seeds = Map.groupBy(counted, ({ prompt }) => prompt.id);
    const ofEach = [...seeds.values()].map((own) => [...new Set(own.map(({ seed }) => seed))]);
    expect(ofEach).toEqual([[100], [101], [102], [103]]);
  });

  test("lets every contender begin equally often, and gives a prompt another order in each repeat", () => {
    const firsts = Map.groupBy(counted, ({ contenders: order }) => order[0]?.label);
    expect([...firsts.values()].map((own) => own.length)).toEqual([8, 8, 8, 8]);
    for (const { id } of prompts) {
      const own = counted.filter(({ prompt, temperature }) => prompt.id === id && temperature === 0);
      expect(new Set(own.map(({ contenders: order }) => order.map(({ label }) => label).join(""))).size).toBe(
        4,
      );
    }
  });
});
