import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Progress } from "../../../cli/progress.ts";
import { runTrainer, TrainingError } from "../../../cli/training/trainer.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import { CapturedStream } from "../captured-stream.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "trainer-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs a shell script in the trainer's place; gives what the user saw, and the error. */
async function run(script: string, abortAfterMs?: number) {
  const python = join(await mkdtemp(join(folder, "case-")), "python");
  await Bun.write(python, `#!/bin/sh\n${script}\n`);
  await chmod(python, 0o755);
  const stream = new CapturedStream({ isTTY: false });
  const abort = new AbortController();
  if (abortAfterMs !== undefined) setTimeout(() => abort.abort(), abortAfterMs);
  const error = await runTrainer({
    python,
    args: ["--hours", "1"],
    progress: new Progress(stream),
    signal: abort.signal,
  }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { text: stream.text, error, reason: abort.signal.reason };
}

const line = (step: string, done: number, of: number, note = "") =>
  `echo '${JSON.stringify({ step, done, of, note })}'`;

describe("the trainer's progress", () => {
  test("is shown step by step, each with what came of it", async () => {
    const { text, error } = await run(
      [
        line("generate", 0, 100),
        line("generate", 60, 100, "60 tokens"),
        line("generate", 100, 100, "100 tokens"),
        line("train", 1, 4),
        "echo 'something else'",
        line("train", 4, 4, "loss 2.1"),
      ].join("\n"),
    );
    expect(error).toBeUndefined();
    expect(text).toBe(
      "answers of the model…\nanswers of the model… 60%\nanswers of the model: 100 tokens\n" +
        "training…\ntraining… 25%\nsomething else\ntraining: loss 2.1\n",
    );
  });

  test("does not depend on how its lines are cut", async () => {
    const { text } = await run(
      `printf '{"step": "train", "do'; sleep 0.05; printf 'ne": 1, "of": 1, "note": "é"}\\n{"step":"ex'; sleep 0.05; printf 'port","done":1,"of":1}\\n'`,
    );
    expect(text).toBe("training…\ntraining: é\nhead…\nhead: done\n");
  });
});

describe("the trainer's failure", () => {
  test("is told in its own words, as bad input where it says so", async () => {
    const failed = await run(`${line("train", 0, 1)}\necho 'the disk is full' >&2; exit 1`);
    expect(failed.error).toBeInstanceOf(TrainingError);
    expect((failed.error as Error).message).toBe("the disk is full");
    const refused = await run("echo 'flowmesh_training: taps must be below 5' >&2; exit 2");
    expect(refused.error).toBeInstanceOf(UsageError);
    expect((refused.error as Error).message).toBe("taps must be below 5");
  });

  test("by a signal is told with what can be done", async () => {
    const { error } = await run("kill -KILL $$");
    expect((error as Error).message).toContain("ended by SIGKILL; the machine may have run out of memory");
    expect((error as Error).message).toContain("The same command goes on");
  });

  test("without a word gives its exit code", async () => {
    expect(((await run("exit 7")).error as Error).message).toContain("exit code 7");
  });
});

test("an abort ends it, and is the reason", async () => {
  const begun = performance.now();
  const { error, reason } = await run("exec sleep 60", 100);
  expect(error).toBe(reason);
  expect(performance.now() - begun).toBeLessThan(30_000);
});

test("it gets its arguments and the project's own code, not the user's packages", async () => {
  const { text } = await run('echo "$* / $PYTHONNOUSERSITE / $PYTHONPATH"');
  expect(text).toMatch(/^-u -m flowmesh_training --hours 1 \/ 1 \/ .*training\n$/);
});
