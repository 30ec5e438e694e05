import { describe, expect, test } from "bun:test";
import { isMixed, planArithmetic } from "../../../actors/mesh/arithmetic.ts";

const stage = (host: string, firstLayer: number, endLayer: number) => ({ host, firstLayer, endLayer });
const arithmetics: Record<string, string> = { old: "aaaa0000", older: "aaaa0000", young: "bbbb1111" };
const told = ({ host }: { readonly host: string }) => arithmetics[host];

describe("what a plan's processors make of the model", () => {
  test("has one name where all are alike, whatever the split", () => {
    const one = planArithmetic([stage("old", 0, 30)], told);
    expect(one).toBe("aaaa0000");
    expect(planArithmetic([stage("old", 0, 10), stage("older", 10, 30)], told)).toBe(one);
    expect(isMixed(one!)).toBe(false);
  });

  test("depends on who has which layers where they are not", () => {
    const first = planArithmetic([stage("old", 0, 10), stage("young", 10, 30)], told);
    expect(first).toBe("0-9:aaaa0000 10-29:bbbb1111");
    expect(isMixed(first!)).toBe(true);
    expect(planArithmetic([stage("old", 0, 11), stage("young", 11, 30)], told)).not.toBe(first);
    expect(planArithmetic([stage("young", 0, 10), stage("old", 10, 30)], told)).not.toBe(first);
    expect(planArithmetic([stage("older", 0, 10), stage("young", 10, 30)], told)).toBe(first);
  });

  test("is unknown while a stage has not told", () => {
    expect(planArithmetic([stage("old", 0, 10), stage("new", 10, 30)], told)).toBeUndefined();
  });
});
