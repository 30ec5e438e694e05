/** Checks of the code as it lies there, in the order they run. */
export const HOUSE_CHECKS = ["format", "types", "dead-code"] as const;
/** Groups of tests, the quick ones first. */
export const TEST_GROUPS = ["unit", "simulation", "integration", "browser"] as const;
export const GROUP_NAMES = [...HOUSE_CHECKS, ...TEST_GROUPS];

export type HouseCheck = (typeof HOUSE_CHECKS)[number];
export type TestGroup = (typeof TEST_GROUPS)[number];

/** The group of a test file, by its path below test/: unit tests mirror the tree, the others have a folder. */
export function groupOf(path: string): TestGroup {
  if (path.startsWith("simulation/")) return "simulation";
  if (path.startsWith("integration/")) return "integration";
  if (path.startsWith("browser/")) return "browser";
  return "unit";
}
