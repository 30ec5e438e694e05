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
