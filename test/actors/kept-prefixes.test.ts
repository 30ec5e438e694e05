import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KeptPrefixes } from "../../actors/kept-prefixes.ts";
import { epoch } from "../../decoding/ids.ts";

const E = epoch(1);

describe("what the tree host expects others to have rows of", () => {
  test("is the longest common beginning of any session, but for its last token", () => {
    const sessions = fc.array(fc.tuple(fc.array(fc.nat(2), { minLength: 1, maxLength: 8 }), fc.boolean()));
    const asked = fc.array(fc.nat(2), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sessions, asked, fc.boolean(), (added, tokens, needsFeatures) => {
        const kept = new KeptPrefixes(E);
        for (const [one, features] of added) kept.add(E, one, features);
        const common = added
          .filter(([, features]) => features || !needsFeatures)
          .map(([one]) => tokens.findIndex((token, index) => token !== one[index]))
          .map((differs) => (differs < 0 ? tokens.length : differs));
        expect(kept.reusable(E, tokens, needsFeatures)).toBe(Math.max(1, ...common) - 1);
      }),
    );
  });

  test("is put right when somebody has less, for all that begin with that", () => {
    const kept = new KeptPrefixes(E);
    kept.add(E, [1, 2, 3, 4, 5], true);
    kept.add(E, [1, 2, 3, 9, 9], true);
    kept.add(E, [7, 8, 9], true);
    kept.shorten([1, 2, 3, 4], 3);
    expect(kept.reusable(E, [1, 2, 3, 4, 5], true)).toBe(3);
    expect(kept.reusable(E, [1, 2, 3, 9, 9], true)).toBe(4);
    kept.shorten([1, 2], 0);
    expect(kept.reusable(E, [1, 2, 3, 9, 9], true)).toBe(0);
    expect(kept.reusable(E, [7, 8, 9], true)).toBe(2);
  });

  test("is nothing of another epoch, and nothing after a restart", () => {
    const kept = new KeptPrefixes(E);
    kept.add(E, [1, 2, 3], true);
    expect(kept.reusable(epoch(2), [1, 2, 3], true)).toBe(0);
    kept.add(epoch(2), [4, 5], true);
    kept.add(E, [6, 7], true);
    expect(kept.reusable(epoch(2), [4, 5], true)).toBe(1);
    for (const tokens of [
      [1, 2, 3],
      [6, 7],
    ])
      expect(kept.reusable(epoch(2), tokens, true)).toBe(0);
    kept.clear();
    expect(kept.reusable(epoch(2), [4, 5], true)).toBe(0);
  });

  test("is forgotten when there is much of it, what was not used for longest first", () => {
    const kept = new KeptPrefixes(E);
    const session = (number: number) => [number, 1, 1];
    for (let number = 0; number < 256; number++) kept.add(E, session(number), true);
    kept.reusable(E, session(0), true);
    kept.add(E, session(1000), true);
    expect(kept.reusable(E, session(1), true)).toBe(0);
    for (const number of [0, 2, 1000]) expect(kept.reusable(E, session(number), true)).toBe(2);
  });
});
