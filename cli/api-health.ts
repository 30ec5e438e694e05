const SERVING_DEADLINE_MS = 60_000;
const POLL_MS = 100;

/** Every process is up, and yet the API does not serve. */
export class NotServingError extends Error {
  override readonly name = "NotServingError";
}

/** Resolves when the API says that it would serve a request. */
export async function waitUntilServing(url: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + SERVING_DEADLINE_MS;
  let answer = "";
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    // It is this machine's own, and its certificate may name another address.
    const response = await fetch(`${url}/health`, { signal, tls: { rejectUnauthorized: false } });
    if (response.ok) return;
    answer = await response.text();
    await Bun.sleep(POLL_MS);
  }
  const seconds = SERVING_DEADLINE_MS / 1000;
  throw new NotServingError(`${url} does not serve after ${seconds} s; it says: ${answer}`);
}
