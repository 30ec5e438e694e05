import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { StopCut } from "../../http/stop-cut.ts";

/** Naive reference: the whole text, cut at the leftmost stop string. */
function cutWhole(text: string, stops: readonly string[]): string {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length === 0 ? text : text.slice(0, Math.min(...found));
}

/** A small alphabet, so that stop strings overlap themselves, each other and the text. */
const letters = (maxLength: number) =>
  fc.string({ unit: fc.constantFrom("a", "b", "é", "🙂"), minLength: 1, maxLength });
const stopStrings = fc.array(letters(4), { maxLength: 4 });

describe("StopCut", () => {
  test("shows what cutting the whole text shows, however the text arrives", () => {
    fc.assert(
      fc.property(fc.array(letters(5), { maxLength: 12 }), stopStrings, (pieces, stops) => {
        const cut = new StopCut(stops);
        const shown = pieces.map((piece) => cut.push(piece)).join("") + cut.end();
        expect(shown).toBe(cutWhole(pieces.join(""), stops));
        expect(cut.found).toBe(stops.some((stop) => pieces.join("").includes(stop)));
      }),
      { numRuns: 5000 },
    );
  });

  test("never shows text that a later piece could turn into a stop string, and holds nothing else", () => {
    fc.assert(
      fc.property(fc.array(letters(5), { maxLength: 12 }), stopStrings, (pieces, stops) => {
        const cut = new StopCut(stops);
        let shown = "";
        let arrived = "";
        for (const piece of pieces) {
          arrived += piece;
          shown += cut.push(piece);
          if (cut.found) return;
          const held = arrived.slice(shown.length);
          expect(
            held === "" || stops.some((stop) => stop.length > held.length && stop.startsWith(held)),
          ).toBe(true);
          for (const stop of stops) expect(cutWhole(arrived + stop, stops).startsWith(shown)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("an earlier, longer stop string wins over one inside it that was whole first", () => {
    const cut = new StopCut(["abcd", "bc"]);
    expect(cut.push("xabc")).toBe("x");
    expect(cut.push("d")).toBe("");
    expect(cut.found).toBe(true);
  });

  test("the inner one counts after all when the longer one fails", () => {
    const cut = new StopCut(["abcd", "bc"]);
    expect(cut.push("xabc")).toBe("x");
    expect(cut.push("e")).toBe("a");
    expect(cut.found).toBe(true);
  });
});
