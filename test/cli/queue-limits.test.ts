import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMesh } from "../../bench/running-mesh.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const TIMEOUT_MS = 120_000;
/** Keeps the small model from ending an answer, by either of its tokens for that: whose turn it is must not be chance. */
const NO_END = { 0: -100, 2: -100 };
/** Whoever is let in against the rules answers for minutes: the test shall say so, and not wait. */
const REFUSED_WITHIN_MS = 60_000;

test(
  "up --max-sessions 1 --queue 1 lets one in, one wait for --queue-wait, and refuses the third",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-queue-limits-"));
    const model = join(folder, "tiny.gguf");
    await writeTinyGguf(model, { layers: 2, contextLength: 2048 });
    // A token takes so long that the first answer outlasts the others' waiting.
    const slow = ["--policy", "autoregressive", "--link", "200ms"];
    const mesh = await startMesh(
      ...["--stages", "2", "--model", model, "--drafter", "none", ...slow],
      ...["--max-sessions", "1", "--queue", "1", "--queue-wait", "4"],
    );
    const ask = (stream: boolean, signal: AbortSignal) =>
      fetch(`${mesh.url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model: "default",
          prompt: "hello",
          max_tokens: 200,
          logit_bias: NO_END,
          stream,
        }),
        signal,
      });
    const leaving = new AbortController();
    const first = await ask(true, leaving.signal);
    expect(first.status).toBe(200);
    // Whoever does not read has left as soon as memory is collected.
    const read = first.text().catch((error: Error) => error.name);
    const inTime = AbortSignal.timeout(REFUSED_WITHIN_MS);
    const others = await Promise.all([ask(false, inTime), ask(false, inTime)]);
    const [full, late] = others.toSorted((a, b) => a.status - b.status);
    expect([full?.status, late?.status]).toEqual([429, 503]);
    expect(await full?.json()).toMatchObject({ error: { code: "queue_full" } });
    const message = "nothing became free within 4 s; try again later";
    expect(await late?.json()).toMatchObject({ error: { code: "queue_timeout", message } });
    expect(late?.headers.get("retry-after")).toBe("4");
    leaving.abort();
    expect(await read).toBe("AbortError");
    expect(await mesh.stop()).toBe(0);
    await rm(folder, { recursive: true });
  },
  TIMEOUT_MS,
);
