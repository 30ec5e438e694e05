import { ProvisionError } from "./provision-error.ts";

const FETCH_BY_HAND = "or fetch the file by other means and give its path";

/** By HTTP status. */
const REFUSALS: Readonly<Record<number, readonly [reason: string, remedy: string]>> = {
  401: ["the server wants a login", `Choose a public file, ${FETCH_BY_HAND}`],
  403: ["the server forbids it (perhaps its licence must be accepted)", `Choose another, ${FETCH_BY_HAND}`],
  404: ["there is no such file", "Check the spelling of the address"],
  410: ["the file is gone", "Choose another"],
  429: ["the server has had too many requests", "Try again later"],
};

export function explainStatus(what: string, url: string, status: number): ProvisionError {
  const fallback: readonly [string, string] =
    status >= 500
      ? ["the server is failing", "Try again later"]
      : ["the server refuses", FETCH_BY_HAND_ALONE];
  const [reason, remedy] = REFUSALS[status] ?? fallback;
  return new ProvisionError(`cannot fetch ${what} from ${url}: HTTP ${status}, ${reason}`, remedy);
}

const FETCH_BY_HAND_ALONE = "Fetch the file by other means and give its path";

/** Passes errors on that already explain themselves or are about the local disk. */
export function explainUnreachable(what: string, url: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  const isLocal = syscall === "open" || syscall === "write" || syscall === "fsync" || code === "ENOSPC";
  if (error instanceof ProvisionError || isLocal) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ProvisionError(
    `cannot fetch ${what} from ${url}: ${reason}`,
    `Check the address and the network, ${FETCH_BY_HAND}`,
    { cause: error },
  );
}
