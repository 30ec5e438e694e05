/** House rules that no linter knows: layers, sizes, names, and papers that say what is true. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");
const CODE = "{actors,bench,cli,custom,decoding,examples,http,models,test,transport,web}/**/*.{ts,tsx}";
const LINES_MAX = 400;

const read = (path: string): Promise<string> => Bun.file(join(ROOT, path)).text();

/** Files under version control, or about to be, with their text; binary ones left out. */
async function trackedTexts(): Promise<Map<string, string>> {
  const listed = await Bun.$`git ls-files --cached --others --exclude-standard -z`.cwd(ROOT).text();
  const paths = listed.split("\0").filter((path) => path !== "" && existsSync(join(ROOT, path)));
  const entries = await Promise.all(paths.map(async (path) => [path, await read(path)] as const));
  return new Map(entries.filter(([, text]) => !text.includes("\0")));
}

const texts = await trackedTexts();
const codeGlob = new Bun.Glob(CODE);
const code = new Map([...texts].filter(([path]) => codeGlob.match(path)));

interface Import {
  readonly from: string;
  /** A path below the root for our own files, else the package's name. */
  readonly target: string;
  readonly own: boolean;
}

/** Every import, re-export and `new URL` of a module, without those in comments. */
function importsOf(path: string, text: string): Import[] {
  const plain = text.replaceAll(/\/\*.*?\*\//gs, "").replaceAll(/^\s*\/\/.*$/gm, "");
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*|new URL\(\s*)"([^"]+)"/g;
  return [...plain.matchAll(pattern)].map(([, specifier = ""]) => {
    const own = specifier.startsWith(".");
    const target = own
      ? relative(ROOT, join(ROOT, dirname(path), specifier))
      : specifier.startsWith("@")
        ? specifier.split("/").slice(0, 2).join("/")
        : (specifier.split("/")[0] ?? "");
    return { from: path, target, own };
  });
}

const imports = [...code].flatMap(([path, text]) => importsOf(path, text));
const show = ({ from, target }: Import): string => `${from} imports ${target}`;

/** Folders and files that a folder's code may import besides its own. `""` is everything. */
const MAY_IMPORT: readonly { readonly folder: string; readonly allowed: readonly string[] }[] = [
  { folder: "decoding/", allowed: ["decoding/"] },
  { folder: "transport/", allowed: ["transport/"] },
  { folder: "models/", allowed: ["models/", "decoding/"] },
  // The version that `nats micro ls` shows is the package's.
  { folder: "actors/runtime/", allowed: ["actors/runtime/", "transport/", "package.json"] },
  { folder: "actors/", allowed: ["actors/", "decoding/", "models/", "transport/"] },
  // What users' own programs are made with; and an example of one.
  { folder: "custom/", allowed: ["custom/", "actors/", "models/", "transport/"] },
  { folder: "examples/", allowed: [] },
  // Time and log are dependencies of everything that runs, and know nothing of actors. The version that the API's
  // description shows is the package's.
  {
    folder: "http/",
    allowed: [
      "http/",
      "decoding/",
      "actors/session-port.ts",
      "actors/live-port.ts",
      "actors/runtime/clock.ts",
      "actors/runtime/log.ts",
      "package.json",
    ],
  },
  // The page speaks HTTP only: it shares the form of what goes over it, and a reader of event streams.
  { folder: "web/", allowed: ["web/", "http/page.ts", "http/event-data.ts", "actors/live-port.ts"] },
  { folder: "bench/", allowed: [""] },
  { folder: "cli/", allowed: [""] },
  { folder: "test/", allowed: [""] },
];

describe("imports", () => {
  test("are found at all", () => {
    expect(code.size).toBeGreaterThan(100);
    expect(imports.length).toBeGreaterThan(300);
  });

  test("point down only", () => {
    const upward = imports.filter(({ from, target, own }) => {
      const rule = MAY_IMPORT.find(({ folder }) => from.startsWith(folder));
      return own && !rule?.allowed.some((prefix) => target.startsWith(prefix));
    });
    expect(upward.map(show)).toEqual([]);
  });

  test("of the roots come from the roots and tests alone", () => {
    const roots = /^(cli|bench|web|test)\//;
    const wrong = imports.filter(({ from, target, own }) => own && roots.test(target) && !roots.test(from));
    const ofTests = imports.filter(
      ({ from, target }) => target.startsWith("test/") && !from.startsWith("test/"),
    );
    expect([...wrong, ...ofTests].map(show)).toEqual([]);
  });

  test("of guarded packages come from their one place", () => {
    const places: Record<string, (path: string) => boolean> = {
      "onnxruntime-node": (path) => path === "models/ort-session.ts",
      nats: (path) => path.startsWith("transport/"),
      "@nats-io/kv": (path) => path.startsWith("transport/"),
      "@nats-io/obj": (path) => path.startsWith("transport/"),
      hono: (path) => path.startsWith("http/"),
      commander: (path) => path.startsWith("cli/"),
      preact: (path) => path.startsWith("web/"),
      marked: (path) => path.startsWith("web/"),
      vega: (path) => path.startsWith("bench/plots/"),
      "vega-lite": (path) => path.startsWith("bench/plots/"),
    };
    const wrong = imports.filter(({ from, target, own }) => {
      const allowed = own ? undefined : places[target];
      return allowed !== undefined && !allowed(from) && !from.startsWith("test/");
    });
    expect(wrong.map(show)).toEqual([]);
  });

  test("of decoding are nothing but decoding: no package, no module of the platform", () => {
    const foreign = imports.filter(({ from, own }) => from.startsWith("decoding/") && !own);
    expect(foreign.map(show)).toEqual([]);
  });
});

describe("files", () => {
  test(`have at most ${LINES_MAX} lines`, () => {
    const long = [...code].filter(([, text]) => text.split("\n").length - 1 > LINES_MAX);
    expect(long.map(([path]) => path)).toEqual([]);
  });

  test("are named for what they hold", () => {
    const banned =
      /(^|[-./])(utils?|helpers?|common|manager|handler|service|processor|data|info|misc|index)\.tsx?$/;
    // Words of the field, not evasions: the paper's tree manager, and the standard's event data and service errors.
    const terms = new Set(["tree-manager.ts", "event-data.ts"]);
    const wrong = [...code.keys()].filter((path) => banned.test(path) && !terms.has(basename(path)));
    expect(wrong).toEqual([]);
  });

  test("end with one line end, and have no carriage returns", () => {
    const wrong = [...code].filter(([, text]) => !/[^\n]\n$/.test(text) || text.includes("\r\n"));
    expect(wrong.map(([path]) => path)).toEqual([]);
  });
});

/** Lines of these files that match, as `path:line`. */
function linesWith(pattern: RegExp, files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) =>
    text.split("\n").flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

describe("text", () => {
  const self = relative(ROOT, import.meta.path);
  const others = new Map([...texts].filter(([path]) => path !== self && path !== "bun.lock"));

  test("reads the environment in cli/ only", () => {
    // An example is a user's program, which has an environment of its own.
    const outside = new Map([...code].filter(([path]) => !/^(cli|test|examples)\//.test(path)));
    expect(linesWith(/\bprocess\.env\b|\bBun\.env\b|\bimport\.meta\.env\b/, outside)).toEqual([]);
  });

  test("leaves nothing for later", () => {
    const written = new Map([...others].filter(([path]) => /\.(ts|md)$|^flowmesh$|^\.ci\//.test(path)));
    expect(linesWith(/\b(TODO|FIXME|XXX|HACK)\b/, written)).toEqual([]);
  });

  test("names no host of a package registry", () => {
    expect(
      linesWith(/registry\.npmjs|registry\.yarnpkg|npmjs\.org|pypi\.org|pythonhosted\.org/, others),
    ).toEqual([]);
  });

  test("names no path of the machine it was written on", () => {
    expect(linesWith(/(^|[\s"'`(=:])\/(work|root|home\/[a-z]+\/[a-z]|Users)\/[a-z]/, others)).toEqual([]);
  });

  test("skips or focuses no test for good", () => {
    const tests = new Map(
      [...others].filter(([path]) => path.endsWith(".test.ts") && !path.includes("test-report")),
    );
    expect(linesWith(/^\s*(test|it|describe)\.(only|todo|skip)\(/, tests)).toEqual([]);
  });
});

describe("papers", () => {
  test("have a section for each dependency, and none for others", async () => {
    const { dependencies, devDependencies } = JSON.parse(await read("package.json"));
    const sections = [...(await read("docs/dependencies.md")).matchAll(/^### (\S+)$/gm)].map(
      ([, name]) => name,
    );
    expect(sections.sort()).toEqual(Object.keys({ ...dependencies, ...devDependencies }).sort());
  });

  test("pin every dependency exactly", async () => {
    const { dependencies, devDependencies } = JSON.parse(await read("package.json"));
    const versions = Object.values<string>({ ...dependencies, ...devDependencies });
    expect(versions.filter((version) => !/(^|@)\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  test("link only to what exists", () => {
    const broken: string[] = [];
    for (const [path, text] of texts) {
      if (!path.endsWith(".md")) continue;
      for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        const [file = ""] = target.split("#");
        if (/^[a-z]+:/.test(target) || file === "") continue;
        if (!existsSync(join(ROOT, dirname(path), file))) broken.push(`${path} → ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test("give the licence that package.json names", async () => {
    const { license } = JSON.parse(await read("package.json"));
    expect(license).toBe("Apache-2.0");
    expect(await read("LICENSE")).toMatch(/Apache License\s+Version 2\.0, January 2004/);
  });
});
