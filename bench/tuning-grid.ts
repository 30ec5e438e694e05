/** Trees from a handful of nodes to the reference's, with candidates and levels that suit their size. */
const TREES = [
  "total=2,topK=2,depth=1",
  "total=4,topK=4,depth=3",
  "total=8,topK=4,depth=3",
  "total=12,topK=6,depth=4",
  "total=24,topK=6,depth=4",
  "total=48,topK=10,depth=6",
  "total=80,topK=10,depth=6",
] as const;
const SEGMENTS = [1, 2, 3, 4, 8, 16] as const;
const WIDTHS = [1, 2, 3, 4, 8, 16] as const;
const LAYERS = [0, 3] as const;

/** Small on purpose: each point is simulated for each device and link. */
const GRIDS: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ["naive", TREES],
  ["pipedec", pipedecGrid()],
  ["flowspec", flowspecGrid()],
]);

function flowspecGrid(): string[] {
  return TREES.flatMap((tree) => {
    const total = /total=(\d+)/.exec(tree)?.[1] ?? "1";
    return SEGMENTS.filter((segment) => segment <= Number(total)).map(
      (segment) => `${tree},expandTotal=${total},segment=${segment},appended=${segment}`,
    );
  });
}

function pipedecGrid(): string[] {
  return WIDTHS.flatMap((width) =>
    LAYERS.map((depth) => `width=${width},topK=${Math.max(4, width)},depth=${depth}`),
  );
}

/** Every point of the policy's grid, as policies; undefined for a policy that has none. */
export function tuningGrid(policy: string): string[] | undefined {
  const name = policy.split(":")[0] ?? policy;
  return GRIDS.get(policy)?.map((parameters) => `${name}:${parameters}`);
}
