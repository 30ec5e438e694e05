import { open } from "node:fs/promises";
import { explainBroken, explainStatus } from "./http-problem.ts";
import { ProvisionError } from "./provision-error.ts";
import type { OnProgress } from "./provision-options.ts";
import { stage } from "./staging.ts";

const STALLED_AFTER_MS = 60_000;

export interface Download {
  readonly url: string;
  readonly target: string;
  /** For progress and messages. */
  readonly what: string;
  readonly sha256?: string;
  readonly sizeBytes?: number;
  /** Rejects a file that is whole but not what was wanted, before it gets its name. */
  readonly verify?: (path: string) => Promise<void>;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
  /** The server may be silent for so long; a minute if absent. */
  readonly stalledAfterMs?: number;
}

/**
 * Fetches `url` into the file `target`, replacing it only when everything has arrived and is right.
 * Returns the SHA-256 of what arrived.
 * @throws {ProvisionError} on any failure but an abort, which throws the signal's reason.
 */
export async function downloadFile(download: Download): Promise<{ path: string; sha256: string }> {
  const { sha256 } = await stage(download.target, async (path) => {
    const received = await receive(download, path);
    refuseDifference(download, received);
    await download.verify?.(path);
    return { path, sha256: received.sha256 };
  });
  return { path: download.target, sha256 };
}

interface Received {
  readonly bytes: number;
  readonly expectedBytes?: number;
  readonly sha256: string;
}

async function receive(download: Download, path: string): Promise<Received> {
  const watchdog = new AbortController();
  const stalledAfterMs = download.stalledAfterMs ?? STALLED_AFTER_MS;
  const timer = setTimeout(() => watchdog.abort(), stalledAfterMs);
  const signals = download.signal ? [download.signal, watchdog.signal] : [watchdog.signal];
  try {
    const response = await fetch(download.url, {
      signal: AbortSignal.any(signals),
      // A compressed body would have another length than the file.
      headers: { "accept-encoding": "identity" },
    });
    if (!response.ok) throw explainStatus(download.what, download.url, response.status);
    return await writeBody(download, response, path, () => timer.refresh());
  } catch (error) {
    if (download.signal?.aborted) throw download.signal.reason;
    if (watchdog.signal.aborted) {
      const problem = `the server of ${download.url} sent nothing for ${stalledAfterMs / 1000} s`;
      throw new ProvisionError(problem, "Try again", { cause: error });
    }
    throw explainBroken(download.what, download.url, error);
  } finally {
    clearTimeout(timer);
  }
}

async function writeBody(
  download: Download,
  response: Response,
  path: string,
  onChunk: () => void,
): Promise<Received> {
  const declared = Number(response.headers.get("content-length") ?? Number.NaN);
  const expectedBytes = download.sizeBytes ?? (Number.isFinite(declared) ? declared : undefined);
  const total = expectedBytes === undefined ? {} : { totalBytes: expectedBytes };
  const hasher = new Bun.CryptoHasher("sha256");
  const file = await open(path, "wx");
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      onChunk();
      hasher.update(chunk);
      await file.appendFile(chunk);
      bytes += chunk.length;
      download.onProgress?.({ what: download.what, doneBytes: bytes, ...total });
    }
    await file.sync();
  } finally {
    await file.close();
  }
  const sha256 = hasher.digest("hex");
  return expectedBytes === undefined ? { bytes, sha256 } : { bytes, expectedBytes, sha256 };
}

function refuseDifference(download: Download, received: Received): void {
  const { bytes, expectedBytes, sha256 } = received;
  if (expectedBytes !== undefined && bytes !== expectedBytes) {
    const problem = `${download.what} from ${download.url} is ${bytes} bytes long instead of ${expectedBytes}`;
    throw new ProvisionError(problem, "Try again");
  }
  if (download.sha256 !== undefined && sha256 !== download.sha256) {
    throw wrongChecksum(`${download.what} from ${download.url}`, sha256, download.sha256);
  }
}

export function wrongChecksum(what: string, actual: string, expected: string): ProvisionError {
  return new ProvisionError(
    `${what} has the SHA-256 ${actual} instead of ${expected}`,
    "Try again; if it stays so, what is offered there is not what was published: do not use it",
  );
}
