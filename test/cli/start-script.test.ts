import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const TOOLS = [
  "sh",
  "env",
  "dirname",
  "readlink",
  "cat",
  "cksum",
  "awk",
  "mkdir",
  "mktemp",
  "rm",
  "mv",
  "tail",
];
const hasNpm = Bun.which("npm") !== null && Bun.which("node") !== null;

/** Prints how it was called: what cli/main.ts is to these tests. */
const MAIN = `console.log(JSON.stringify({ args: process.argv.slice(2), cwd: process.cwd(), bun: Bun.version }));
process.exit(Number(process.env.EXIT_WITH ?? 0));\n`;

let base: string;
/** A copy of what the start script needs, without dependencies. */
let checkout: string;
let home: string;

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "flowmesh start "));
});
afterAll(() => rm(base, { recursive: true, force: true }));
beforeEach(async () => {
  checkout = await mkdtemp(join(base, "checkout-"));
  home = await mkdtemp(join(base, "home-"));
  await mkdir(join(checkout, "cli"));
  await copyFile(join(ROOT, "flowmesh"), join(checkout, "flowmesh"));
  await copyFile(join(ROOT, "cli", "install.ts"), join(checkout, "cli", "install.ts"));
  await Bun.write(join(checkout, "cli", "main.ts"), MAIN);
  await declare("first");
});

/** Writes package.json and bun.lock of a package of this name, which needs one local package and no network. */
async function declare(name: string): Promise<void> {
  const needed = { name: "needed", version: "1.0.0" };
  await Bun.write(join(checkout, "needed", "package.json"), JSON.stringify(needed));
  await Bun.write(
    join(checkout, "package.json"),
    JSON.stringify({ name, dependencies: { needed: "file:./needed" } }),
  );
  await Bun.$`${process.execPath} install --lockfile-only`.cwd(checkout).quiet();
}

/** A folder for PATH with only these programs. */
async function pathOf(...programs: string[]): Promise<string> {
  const folder = await mkdtemp(join(base, "path-"));
  for (const name of programs) {
    const found = name === "bun" ? process.execPath : Bun.which(name);
    if (found !== null) await symlink(found, join(folder, name));
  }
  return folder;
}

/** A program that says it is bun of this version, and prints `mark` when it is to run anything. */
async function pretendBun(folder: string, version: string, mark: string): Promise<void> {
  const path = join(folder, "bun");
  const script = `#!/bin/sh\nif [ "$1" = --version ]; then ${version}; else printf '%s' '${mark} '; fi\n`;
  await Bun.write(path, script);
  await chmod(path, 0o755);
}

interface StartOptions {
  readonly path: string;
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly script?: string;
  readonly env?: Readonly<Record<string, string>>;
}

async function start({
  path,
  args = [],
  cwd = home,
  script = join(checkout, "flowmesh"),
  env = {},
}: StartOptions) {
  const clean = { XDG_CACHE_HOME: "", FLOWMESH_HOME: "", EXIT_WITH: "0" };
  const run = Bun.spawn(["/bin/sh", script, ...args], {
    cwd,
    env: { ...process.env, ...clean, HOME: home, PATH: path, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, errors, code] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
    run.exited,
  ]);
  return { out, errors, code };
}

const DOWNLOAD_TIMEOUT_MS = 300_000;
const INSTALLING = "flowmesh: installing locked dependencies…\n";

describe("with bun on PATH", () => {
  test("installs what is locked, says so in one line, and hands arguments, folder and exit code over", async () => {
    const path = await pathOf(...TOOLS, "bun");
    const args = ["up", "--model", "a b", "", "*", "-$x"];
    const result = await start({ path, args, env: { EXIT_WITH: "7" } });
    expect(result.errors).toBe(INSTALLING);
    expect(result.code).toBe(7);
    expect(JSON.parse(result.out)).toMatchObject({ args, bun: Bun.version });
    expect(JSON.parse(result.out).cwd).toEndWith(home.split("/").at(-1) ?? "");
  });

  test("installs again only when the lock file or package.json changed", async () => {
    const path = await pathOf(...TOOLS, "bun");
    expect((await start({ path })).errors).toBe(INSTALLING);
    expect((await start({ path })).errors).toBe("");
    await declare("second");
    expect((await start({ path })).errors).toBe(INSTALLING);
    expect((await start({ path })).errors).toBe("");
  });

  test("works through relative and absolute symlinks", async () => {
    const path = await pathOf(...TOOLS, "bun");
    const folder = await mkdtemp(join(base, "links-"));
    await symlink(join(checkout, "flowmesh"), join(folder, "absolute"));
    await symlink("absolute", join(folder, "relative"));
    const result = await start({ path, cwd: folder, script: "./relative", args: ["x"] });
    expect(JSON.parse(result.out)).toMatchObject({ args: ["x"] });
  });

  test("several first starts at once install once, and all of them run", async () => {
    const path = await pathOf(...TOOLS, "bun");
    const results = await Promise.all(["a", "b", "c", "d"].map((name) => start({ path, args: [name] })));
    expect(results.map(({ out }) => JSON.parse(out).args)).toEqual([["a"], ["b"], ["c"], ["d"]]);
    expect(results.map(({ errors }) => errors).sort()).toEqual(["", "", "", INSTALLING]);
  });

  test("shows what went wrong when the lock file does not fit, and does not start", async () => {
    const path = await pathOf(...TOOLS, "bun");
    await Bun.write(join(checkout, "package.json"), '{"name":"first"}');
    const result = await start({ path });
    expect(result).toMatchObject({ code: 1, out: "" });
    expect(result.errors).toMatch(/lockfile is frozen\n.*flowmesh: bun install failed with exit code 1/s);
  });
});

describe("which bun is used", () => {
  const versions: [string, "path" | "cache"][] = [
    ["echo 1.4.5", "path"],
    ["echo 1.4.6-canary.12", "path"],
    ["echo 1.4.10", "path"],
    ["echo 1.10.0", "path"],
    ["echo 2.0.0", "path"],
    ["echo 1.4.4", "cache"],
    ["echo 1.3.99", "cache"],
    ["echo 0.9.9", "cache"],
    ["echo nonsense", "cache"],
    ["echo", "cache"],
    ["exit 132", "cache"],
  ];
  test.each(versions)("when the one on PATH says `%s`: the one of the %s", async (version, expected) => {
    const path = await pathOf(...TOOLS);
    await pretendBun(path, version, "path");
    const cached = join(home, ".cache", "flowmesh", "bun-1.4.5");
    await mkdir(cached, { recursive: true });
    await pretendBun(cached, "echo 1.4.5", "cache");
    // Once for the dependencies, once for the program.
    expect((await start({ path })).out).toBe(`${expected} ${expected} `);
  });

  test("FLOWMESH_HOME and XDG_CACHE_HOME say where the cache is", async () => {
    const path = await pathOf(...TOOLS);
    for (const [name, folder] of [
      ["FLOWMESH_HOME", "own/bun-1.4.5"],
      ["XDG_CACHE_HOME", "own/flowmesh/bun-1.4.5"],
    ] as const) {
      await mkdir(join(home, folder), { recursive: true });
      await pretendBun(join(home, folder), "echo 1.4.5", name);
      const result = await start({ path, env: { [name]: join(home, "own") } });
      expect(result.out).toBe(`${name} ${name} `);
    }
  });
});

describe("without bun", () => {
  test("and without npm, says how to get one of them", async () => {
    const result = await start({ path: await pathOf(...TOOLS) });
    expect(result).toMatchObject({ code: 1, out: "" });
    expect(result.errors).toContain("needs bun 1.4.5 or newer, or node with npm to install it");
    expect(result.errors).toContain("https://bun.com/docs/installation");
  });

  test("and with an npm that fails, shows its words and what to do, and leaves nothing behind", async () => {
    const path = await pathOf(...TOOLS, "node");
    await Bun.write(join(path, "npm"), "#!/bin/sh\necho no network >&2\nexit 1\n");
    await chmod(join(path, "npm"), 0o755);
    const result = await start({ path });
    expect(result).toMatchObject({ code: 1, out: "" });
    expect(result.errors).toMatch(/no network\nflowmesh: npm could not install bun 1\.4\.5/);
    expect(await readdir(join(home, ".cache", "flowmesh", "bun-1.4.5"))).toEqual([]);
  });

  test.skipIf(!hasNpm)(
    hasNpm ? "installs it with npm into an empty home, once" : "(skipped: there is no npm here)",
    async () => {
      const path = await pathOf(...TOOLS, "npm", "node");
      const results = await Promise.all([start({ path, args: ["a"] }), start({ path, args: ["b"] })]);
      expect(results.map(({ code, errors }) => [code, code === 0 ? "" : errors])).toEqual([
        [0, ""],
        [0, ""],
      ]);
      expect(results.map(({ out }) => JSON.parse(out))).toMatchObject([
        { args: ["a"], bun: "1.4.5" },
        { args: ["b"], bun: "1.4.5" },
      ]);
      expect(await readdir(join(home, ".cache", "flowmesh", "bun-1.4.5"))).toEqual(["bun"]);
      expect((await start({ path })).errors).toBe("");
    },
    DOWNLOAD_TIMEOUT_MS,
  );
});
