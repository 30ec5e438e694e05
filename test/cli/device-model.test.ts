import { describe, expect, test } from "bun:test";
import { readDeviceModel } from "../../cli/device-model.ts";
import { UsageError } from "../../cli/usage-error.ts";
import { segmentMs } from "../../decoding/costs.ts";

describe("device models that come along", () => {
  test.each(["cpu-fast", "cpu-precise", "jetson-like", "jetson-like-slow"])(
    "%s: up to 64 nodes, never falling",
    async (name) => {
      const { costs } = await readDeviceModel(name);
      expect(costs[0]?.nodes).toBe(1);
      expect(costs.at(-1)?.nodes).toBe(64);
      for (let nodes = 2; nodes <= 64; nodes++) {
        expect(segmentMs(costs, nodes)).toBeGreaterThanOrEqual(segmentMs(costs, nodes - 1));
      }
    },
  );

  test("jetson-like-slow is jetson-like, three times slower throughout", async () => {
    const [slow, device] = await Promise.all(["jetson-like-slow", "jetson-like"].map(readDeviceModel));
    expect(slow?.costs.map(({ nodes, ms }) => ({ nodes, ms: ms / 3 }))).toEqual(
      device?.costs.map(({ nodes, ms }) => ({ nodes, ms: expect.closeTo(ms, 9) })) ?? [],
    );
  });

  test("have the shapes that they are named for", async () => {
    const ratio = async (name: string, nodes: number) => {
      const { costs } = await readDeviceModel(name);
      return segmentMs(costs, nodes) / segmentMs(costs, 1);
    };
    expect(await ratio("jetson-like", 32)).toBeLessThan(1.2);
    expect(await ratio("cpu-precise", 2)).toBeGreaterThan(1.5);
    expect(await ratio("cpu-fast", 2)).toBeLessThan(1.2);
    expect(await ratio("cpu-fast", 64)).toBeGreaterThan(8);
  });
});

test("a device that is not there is refused with those that are", async () => {
  const error = await readDeviceModel("abacus").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UsageError);
  expect(String(error)).toMatch(/cpu-fast, cpu-precise, jetson-like, jetson-like-slow, or a \.json file/);
});
