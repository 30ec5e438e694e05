/** Counts of one run of the test runner. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Reads the counts from a JUnit report: the attributes of its outermost element. Undefined: not a report. */
export function readJunitCounts(xml: string): TestCounts | undefined {
  const element = /<testsuites\b[^>]*>/.exec(xml)?.[0];
  if (element === undefined) return undefined;
  const attribute = (name: string) =>
    Number(new RegExp(`\\b${name}="(\\d+)"`).exec(element)?.[1] ?? Number.NaN);
  const [tests, failed, skipped] = [attribute("tests"), attribute("failures"), attribute("skipped")];
  if ([tests, failed, skipped].some(Number.isNaN)) return undefined;
  return { passed: tests - failed - skipped, failed, skipped };
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

/** The failed tests that a JUnit report names, as `file: describe > test`. */
export function readJunitFailures(xml: string): string[] {
  // Values have their ">" escaped, and a test without a failure has no element in it that is called so.
  const failed = xml.matchAll(/<testcase\b([^>]*[^/>])>\s*<failure\b/g);
  return Array.from(failed, ([, attributes = ""]) => {
    const attribute = (name: string) =>
      (new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "").replace(
        /&(\w+);/g,
        (whole, entity: string) => ENTITIES[entity] ?? whole,
      );
    // The runner names the innermost group first.
    const groups = attribute("classname").split(" > ").filter(Boolean).reverse();
    return `${attribute("file")}: ${[...groups, attribute("name")].join(" > ")}`;
  });
}
