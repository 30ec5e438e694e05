import { ProvisionError } from "./provision-error.ts";
import type { OnProgress } from "./provision-options.ts";

export const INSTALL_PIP = "Install Python 3 with pip (for example: apt-get install python3-pip)";
/** Since then pip can print its progress for programs to read. */
const RAW_PROGRESS_SINCE: readonly [number, number] = [24, 1];
const OUTPUT_LIMIT_CHARACTERS = 100_000;

/** pip's options for its progress bar: readable by programs where this pip can do that. */
export async function progressArguments(python: string): Promise<readonly string[]> {
  const { output } = await runPython([python, "-m", "pip", "--version"], {});
  const [, major, minor] = /^pip (\d+)\.(\d+)/m.exec(output) ?? [];
  const [sinceMajor, sinceMinor] = RAW_PROGRESS_SINCE;
  const isNew = Number(major) > sinceMajor || (Number(major) === sinceMajor && Number(minor) >= sinceMinor);
  return ["--progress-bar", isNew ? "raw" : "off"];
}

export interface PythonRun {
  /** For progress and messages. */
  readonly what?: string;
  readonly onProgress?: OnProgress;
  /** Hears what it writes, as it comes. */
  readonly onOutput?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** Runs a Python program to its end; gives the end of what it wrote. Throws the signal's reason on an abort. */
export async function runPython(
  command: readonly string[],
  run: PythonRun,
): Promise<{ exitCode: number; output: string }> {
  run.signal?.throwIfAborted();
  const child = Bun.spawn([...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(run.signal ? { signal: run.signal } : {}),
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      output = (output + text).slice(-OUTPUT_LIMIT_CHARACTERS);
      run.onOutput?.(text);
      reportProgress(text, run);
    }
  };
  await Promise.all([collect(child.stdout), collect(child.stderr)]);
  const exitCode = await child.exited;
  run.signal?.throwIfAborted();
  return { exitCode, output };
}

function reportProgress(text: string, run: PythonRun): void {
  const last = [...text.matchAll(/^Progress (\d+) of (\d+)\r?\n/gm)].at(-1);
  if (!last) return;
  const totalBytes = Number(last[2]);
  const total = totalBytes > 0 ? { totalBytes } : {};
  run.onProgress?.({ what: run.what ?? "", doneBytes: Number(last[1]), ...total });
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

/** `subject`: what pip could not do, for a person. `output`: what it wrote. */
export function explainPip(subject: string, output: string): ProvisionError {
  const known = PIP_PROBLEMS.find(([sign]) => sign.test(output));
  const cause = new Error(output.slice(-2000));
  if (known) return new ProvisionError(`${subject}: ${known[1]}`, known[2], { cause });
  return new ProvisionError(`${subject}: pip says "${lastLine(output)}"`, "Try again", { cause });
}

export const lastLine = (output: string): string => output.trim().split("\n").at(-1)?.trim() ?? "";
