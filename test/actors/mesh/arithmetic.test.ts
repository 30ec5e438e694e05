import { describe, expect, test } from "bun:test";
import { planArithmetic } from "../../../actors/mesh/arithmetic.ts";

const stage = (host: string, firstLayer: number, endLayer: number) => ({ host, firstLayer, endLayer });
const arithmetics: Record<string, string> = { old: "aaaa0000", older: "aaaa0000", young: "bbbb1111" };
const told = ({ host }: { readonly host: string }) => arithmetics[host];

describe("what a plan's processors make of the model", () => {
  test("has one name where all are alike, whatever the split", () => {
    const one = planArithmetic([stage("old", 0, 30)], told);
    expect(one).toEqual({ name: "aaaa0000", isMixed: false });
    expect(planArithmetic([stage("old", 0, 10), stage("older", 10, 30)], told)).toEqual(one);
  });

  test("depends on who has which layers where they are not", () => {
    const first = planArithmetic([stage("old", 0, 10), stage("young", 10, 30)], told);
    expect(first).toEqual({ name: "0-9:aaaa0000 10-29:bbbb1111", isMixed: true });
    expect(planArithmetic([stage("old", 0, 11), stage("young", 11, 30)], told)).not.toEqual(first);
    expect(planArithmetic([stage("young", 0, 10), stage("old", 10, 30)], told)).not.toEqual(first);
    expect(planArithmetic([stage("older", 0, 10), stage("young", 10, 30)], told)).toEqual(first);
  });

  test("may have any text as a processor's name", () => {
    const only = (name: string) => planArithmetic([stage("old", 0, 10), stage("new", 10, 30)], () => name);
    expect(only("a:b")).toEqual({ name: "a:b", isMixed: false });
  });

  test("is unknown while a stage has not told", () => {
    expect(planArithmetic([stage("old", 0, 10), stage("new", 10, 30)], told)).toBeUndefined();
  });
});
