import { describe, expect, test } from "bun:test";
import { PipelineCosts } from "../../../decoding/costs.ts";
import {
  createPolicy,
  DEFAULT_POLICY,
  POLICIES,
  PolicyError,
  parsePolicy,
} from "../../../decoding/policies/registry.ts";

const SETTING = { stageCount: 2, costs: new PipelineCosts([[{ nodes: 1, ms: 1 }], [{ nodes: 1, ms: 1 }]]) };

describe("parsePolicy", () => {
  test("takes a name alone, and a name with some of its parameters", () => {
    const { definition, parameters } = parsePolicy("flowspec");
    expect(definition.name).toBe("flowspec");
    expect(parameters).toEqual(definition.parameters);
    expect(parsePolicy("flowspec:total=40,appended=0").parameters).toEqual({ ...parameters, total: 40 });
    expect(parsePolicy("fullflow:gain=0.5").parameters.gain).toBe(0.5);
  });

  test("does not change a policy's own defaults", () => {
    parsePolicy("pruned:segment=1");
    expect(parsePolicy("pruned").parameters.segment).toBe(16);
  });

  test.each<[string, RegExp]>([
    ["", /unknown policy ""; there are: .*autoregressive.*naive.*pruned.*pipedec.*flowspec/],
    ["greedy", /unknown policy "greedy"; there are: .*flowspec-unsorted, flowspec-unpruned/],
    ["Flowspec", /unknown policy "Flowspec"/],
    ["autoregressive:total=3", /policy autoregressive has no parameter "total"; there are: none/],
    ["pruned:expandTotal=3", /policy pruned has no parameter "expandTotal"; there are: total, topK, depth/],
    ["flowspec:toString=3", /has no parameter "toString"/],
    ["flowspec:", /has no parameter ""/],
    ["flowspec:total=3,", /has no parameter ""/],
    ["flowspec:total", /"total" of policy flowspec is ""; it must be a whole number from 1 to 1024/],
    ["flowspec:total=0", /"total" of policy flowspec is "0"; it must be a whole number from 1 to 1024/],
    ["flowspec:total=1e9", /is "1e9"; it must be a whole number from 1 to 1024/],
    ["flowspec:topK=2.5", /is "2.5"; it must be a whole number/],
    ["flowspec:depth=4=5", /is "4=5"; it must be a whole number/],
    ["naive:coupled=2", /is "2"; it must be a whole number from 0 to 1/],
    ["pipedec:width=-1", /is "-1"; it must be a whole number/],
    ["fullflow:gain=much", /"gain" of policy fullflow is "much"; it must be a number from 0/],
    ["fullflow:gain=-0.1", /is "-0.1"; it must be a number from 0/],
  ])("refuses %j and says what would be right", (spec, complaint) => {
    expect(() => parsePolicy(spec)).toThrow(PolicyError);
    expect(() => parsePolicy(spec)).toThrow(complaint);
  });
});

describe("POLICIES", () => {
  test.each([...POLICIES.keys()])("%s is what its name makes, and says what it is", (name) => {
    const policy = createPolicy(name, SETTING);
    expect(policy.name).toBe(name);
    const { summary, parameters, limits = {} } = POLICIES.get(name)!;
    expect(summary).not.toContain("\n");
    for (const [key, [least, greatest]] of Object.entries(limits)) {
      expect(parameters[key]).toBeGreaterThanOrEqual(least);
      expect(parameters[key]).toBeLessThanOrEqual(greatest);
    }
  });

  test("the default is one of them, and all that draft can do without coupled noise", () => {
    expect(POLICIES.has(DEFAULT_POLICY)).toBe(true);
    for (const [name, { parameters }] of POLICIES) {
      if (name !== "autoregressive")
        expect({ name, coupled: parameters.coupled }).toEqual({ name, coupled: 1 });
    }
  });
});
