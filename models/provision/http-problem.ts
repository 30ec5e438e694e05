import { ProvisionError } from "./provision-error.ts";

const FETCH_BY_HAND = "fetch the file by other means and give its path";

type Refusal = readonly [reason: string, remedy: string];

/** By HTTP status. */
const REFUSALS: Readonly<Record<number, Refusal>> = {
  401: ["the server wants a login", `Choose a public file, or ${FETCH_BY_HAND}`],
  403: ["the server forbids it (perhaps a licence must be accepted)", `Choose another, or ${FETCH_BY_HAND}`],
  404: ["there is no such file", "Check the spelling of the address"],
  410: ["the file is gone", "Choose another"],
  429: ["the server has had too many requests", "Try again later"],
};
const FAILING: Refusal = ["the server is failing", "Try again later"];
const REFUSED: Refusal = ["the server refuses", `Check the address, or ${FETCH_BY_HAND}`];

export function explainStatus(what: string, url: string, status: number): ProvisionError {
  const [reason, remedy] = REFUSALS[status] ?? (status >= 500 ? FAILING : REFUSED);
  return new ProvisionError(`cannot fetch ${what} from ${url}: HTTP ${status}, ${reason}`, remedy);
}

const LOCAL_CALLS: ReadonlySet<string | undefined> = new Set(["open", "write", "fsync"]);

/** Explains why a transfer broke; errors that explain themselves or come from the local disk stay as they are. */
export function explainBroken(what: string, url: string, error: unknown): unknown {
  if (error instanceof ProvisionError) return error;
  if (LOCAL_CALLS.has((error as NodeJS.ErrnoException).syscall)) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new ProvisionError(
    `cannot fetch ${what} from ${url}: ${reason.replace(/[.?!]+$/, "")}`,
    `Check the address and the network, or ${FETCH_BY_HAND}`,
    { cause: error },
  );
}
