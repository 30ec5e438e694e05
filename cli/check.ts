import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, constants, setPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { groupOf, HOUSE_CHECKS, type HouseCheck, TEST_GROUPS, type TestGroup } from "./check-groups.ts";
import { readJunitCounts, readJunitFailures, type TestCounts } from "./test-report.ts";

/** For the tests that say nothing themselves; a first run compiles a model and fetches programs. */
const TEST_TIMEOUT_MS = 60_000;
/** For those that wait for a processor too. */
const LEFTOVER_TIMEOUT_MS = 20 * 60_000;
const ROOT = join(import.meta.dir, "..");
/** Their clocks are simulated: what else the machine does cannot change a result, so they take what others leave of it. */
const TIMELESS: ReadonlySet<TestGroup> = new Set(["simulation"]);

/** Run by bun itself, so that no node is needed. */
const HOUSE_COMMANDS: Record<HouseCheck, readonly string[]> = {
  format: ["biome", "ci", "--colors=off", "."],
  types: ["tsc", "--noEmit"],
  "dead-code": ["knip", "--no-progress"],
};

interface Result extends TestCounts {
  /** Tests that failed, by name, where they have one. */
  readonly failures: readonly string[];
}

interface Outcome extends Result {
  readonly name: string;
  readonly seconds: number;
}

export interface CheckOptions {
  /** One group; absent: all. */
  readonly only?: string;
  /** Parts of test files' paths; with any, the house checks are left out. */
  readonly filters: readonly string[];
  /** The checkout to check; absent: this one. */
  readonly root?: string;
}

/** `flowmesh test`: gives the exit code. The last line is `N passed, N failed`, over checks and tests. */
export async function check({ only, filters, root = ROOT }: CheckOptions): Promise<number> {
  const outcomes: (Outcome | Promise<Outcome>)[] = [];
  for (const name of HOUSE_CHECKS) {
    if (filters.length > 0 || (only ?? name) !== name) continue;
    outcomes.push(await timed(name, () => runHouseCheck(name, root)));
  }
  const files = await testFiles(filters, root);
  const groups = TEST_GROUPS.filter((name) => (only ?? name) === name)
    .map((name) => ({ name, own: files.filter((path) => groupOf(path) === name) }))
    .filter(({ own }) => own.length > 0);
  for (const [index, { name, own }] of groups.entries()) {
    const followed = index + 1 < groups.length;
    if (TIMELESS.has(name)) {
      const lanes = followed ? 1 : availableParallelism();
      outcomes.push(timed(name, () => runBeside(own, root, lanes)));
    } else outcomes.push(await timed(name, () => runTests(own, root)));
  }
  if (outcomes.length === 0)
    process.stderr.write(
      `there is no test file ${filters.length > 0 ? `with ${filters.join(" or ")} in its path` : "in this group"}\n`,
    );
  return summarise(await Promise.all(outcomes));
}

async function timed(name: string, run: () => Promise<Result>): Promise<Outcome> {
  const startedAt = performance.now();
  const counts = await run();
  return { name, ...counts, seconds: (performance.now() - startedAt) / 1000 };
}

async function runHouseCheck(name: HouseCheck, root: string): Promise<Result> {
  const command = [process.execPath, "--bun", "run", ...HOUSE_COMMANDS[name]];
  const run = Bun.spawn(command, { cwd: root, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
    run.exited,
  ]);
  if (code === 0) return { passed: 1, failed: 0, skipped: 0, failures: [] };
  process.stderr.write(`${name} failed: ${HOUSE_COMMANDS[name].join(" ")}\n${output}${errors}\n`);
  return { passed: 0, failed: 1, skipped: 0, failures: [HOUSE_COMMANDS[name].join(" ")] };
}

/** Paths below test/ that contain one of the filters, sorted. */
async function testFiles(filters: readonly string[], root: string): Promise<string[]> {
  const paths = await Array.fromAsync(new Bun.Glob("**/*.test.ts").scan({ cwd: join(root, "test") }));
  const wanted = (path: string) =>
    filters.length === 0 || filters.some((filter) => `./test/${path}`.includes(filter));
  return paths.filter(wanted).sort();
}

/**
 * Each file by itself, so many at once, when nothing else wants the processor; what a file says is shown when it has
 * ended.
 */
async function runBeside(files: readonly string[], root: string, lanes: number): Promise<Result> {
  const results: Result[] = [];
  const left = [...files];
  const lane = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      results.push(
        await runTests([file], root, { output: "pipe", priority: constants.priority.PRIORITY_BELOW_NORMAL }),
      );
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return {
    passed: sum(results, "passed"),
    failed: sum(results, "failed"),
    skipped: sum(results, "skipped"),
    failures: results.flatMap(({ failures }) => failures),
  };
}

const sum = (results: readonly TestCounts[], count: keyof TestCounts): number =>
  results.reduce((total, result) => total + result[count], 0);

async function runTests(
  files: readonly string[],
  root: string,
  { output = "inherit", priority }: { output?: "inherit" | "pipe"; priority?: number } = {},
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "flowmesh-test-"));
  try {
    const report = join(folder, "report.xml");
    const command = [
      process.execPath,
      "test",
      `--timeout=${priority === undefined ? TEST_TIMEOUT_MS : LEFTOVER_TIMEOUT_MS}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
    ];
    const run = Bun.spawn([...command, ...files.map((path) => `./test/${path}`)], {
      cwd: root,
      stdio: ["ignore", output, output],
    });
    if (priority !== undefined) setPriority(run.pid, priority);
    const said = [run.stdout, run.stderr].map((stream) => (stream ? new Response(stream).text() : ""));
    const code = await run.exited;
    for (const text of await Promise.all(said)) process.stderr.write(text);
    const file = Bun.file(report);
    const xml = (await file.exists()) ? await file.text() : "";
    const counts = readJunitCounts(xml);
    const unnamed = `${files.length === 1 ? files[0] : "the test runner"}: an error outside of any test, see above`;
    if (counts === undefined) return { passed: 0, failed: 1, skipped: 0, failures: [unnamed] };
    // The runner can fail without a failed test: an error outside of any, or too little coverage.
    if (code !== 0 && counts.failed === 0) return { ...counts, failed: 1, failures: [unnamed] };
    return { ...counts, failures: readJunitFailures(xml) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function summarise(outcomes: readonly Outcome[]): number {
  const [passed, failed] = [sum(outcomes, "passed"), sum(outcomes, "failed")];
  console.log("");
  for (const { name, seconds, ...counts } of outcomes) {
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    const mark = counts.failed === 0 ? "ok  " : "FAIL";
    console.log(
      `${mark} ${name.padEnd(12)} ${counts.passed} passed, ${counts.failed} failed${skipped} (${seconds.toFixed(1)} s)`,
    );
  }
  // Said last, where it is seen: what a test printed may be thousands of lines above.
  const failures = outcomes.flatMap((outcome) => outcome.failures);
  if (failures.length > 0) console.log(`\n${failures.map((name) => `failed: ${name}`).join("\n")}`);
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}
