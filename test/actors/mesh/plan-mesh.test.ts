import { describe, expect, test } from "bun:test";
import { Planner, planMesh } from "../../../actors/mesh/plan-mesh.ts";
import { type HostRecord, type MeshRecord, PROTOCOL } from "../../../actors/mesh/records.ts";

/** So many that only the slowest stage counts. */
const DEMAND = { sessions: 1000, segmentNodes: 1, commitsPerToken: 1, missesPerToken: 1 };

const MESH: MeshRecord = {
  ...{ mesh: "toy", protocol: PROTOCOL, version: "1.0.0", policy: "fullflow", sessionsLeast: 1, pins: [] },
  model: {
    ...{
      id: "toy",
      sha256: "",
      bytes: 1,
      layers: 6,
      contextLength: 64,
      hidden: 8,
      headLayers: 1,
      tied: true,
    },
    ...{ layerBytes: 2 ** 20, embeddingBytes: 2 ** 20, headBytes: 2 ** 20, numerics: "fast", taps: [] },
    ...{ drafter: "hybrid", parts: "" },
  },
};

function host(name: string, facts: Partial<HostRecord> = {}): HostRecord {
  return {
    ...{ name, instance: name, pid: 1, version: "1.0.0", protocol: PROTOCOL, slots: 1, control: false },
    ...{ sharesCores: false, memoryBytes: 2 ** 30, labels: {}, rttMs: 1, draining: false },
    ...{ prepared: [], failed: [], actors: [] },
    ...facts,
  };
}

const layerMs = (ms: number) => [{ nodes: 1, ms }];
const failed = (role: "stage" | "drafter") => [{ role, reason: "it does not load" }];

describe("the plan of a mesh", () => {
  test("says which label no host has", () => {
    const pins = [{ firstLayer: 0, endLayer: 3, label: "site", value: "attic" }];
    const result = planMesh(
      { ...MESH, pins },
      [host("a", { labels: { site: "cellar" } }), host("b")],
      DEMAND,
    );
    expect(result).toEqual({ short: "layers 0-2 are pinned to site=attic, and no host has that label" });
  });

  test("says what memory is missing, and where it looked", () => {
    const result = planMesh(
      MESH,
      [host("a", { memoryBytes: 2 ** 27 }), host("b", { memoryBytes: 2 ** 20 })],
      DEMAND,
    );
    expect(result).toEqual({
      short: expect.stringMatching(/^toy needs 10 MiB .* have not got the room: a 128 MiB, b 1 MiB$/),
    });
  });

  test("may leave a slow host without layers", () => {
    const hosts = [
      host("fast", { layerMs: layerMs(1) }),
      host("fast-too", { layerMs: layerMs(1) }),
      host("slow", { layerMs: layerMs(100) }),
    ];
    const result = planMesh(MESH, hosts, DEMAND);
    const used = "plan" in result ? result.plan.stages.map((stage) => stage.host) : [];
    expect(used.toSorted()).toEqual(["fast", "fast-too"]);
  });

  test("drafts beside the gateway, else where drafting has not failed, else nowhere", () => {
    const drafterOf = (...hosts: HostRecord[]) => {
      const result = planMesh(MESH, hosts, DEMAND);
      return "plan" in result ? result.plan.drafter : result.short;
    };
    expect(drafterOf(host("a"), host("up", { control: true }))).toBe("up");
    expect(drafterOf(host("a"), host("up", { control: true, failed: failed("drafter") }))).toBe("a");
    const nobody = [host("a", { failed: failed("drafter") }), host("b", { failed: failed("drafter") })];
    expect(drafterOf(...nobody)).toBeUndefined();
  });
});

test("a plan is made anew at once for other hosts, and after a while for other measurements", () => {
  const planner = new Planner(MESH);
  const hosts = (ms: number) => [host("a", { layerMs: layerMs(1) }), host("b", { layerMs: layerMs(ms) })];
  const usedAt = (nowMs: number, present: readonly HostRecord[]) => {
    const result = planner.plan(present, DEMAND, nowMs);
    return "plan" in result
      ? result.plan.stages
          .map((stage) => stage.host)
          .toSorted()
          .join()
      : result.short;
  };
  expect(usedAt(0, hosts(1))).toBe("a,b");
  expect(usedAt(100, hosts(100))).toBe("a,b");
  expect(usedAt(60_000, hosts(100))).toBe("a");
  expect(usedAt(60_100, hosts(100).slice(1))).toBe("b");
});
