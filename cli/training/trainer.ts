import { join } from "node:path";
import * as v from "valibot";
import type { Progress } from "../progress.ts";
import { UsageError } from "../usage-error.ts";

const FOLDER = join(import.meta.dir, "../../training");
/** Packages that the trainer needs, with hashes. */
export const TRAINING_LOCK = join(FOLDER, "requirements.lock");

const EXIT_BAD_INPUT = 2;
const ERRORS_CHARACTERS_MAX = 20_000;

/** The trainer ended without a head. */
export class TrainingError extends Error {
  override readonly name = "TrainingError";
}

const stepSchema = v.object({
  step: v.string(),
  done: v.number(),
  of: v.number(),
  note: v.optional(v.string(), ""),
});

const STEP_NAMES: Readonly<Record<string, string>> = {
  ask: "prompts of the model's own",
  generate: "answers of the model",
  vocabulary: "draft vocabulary",
  train: "training",
  evaluate: "evaluation",
  export: "head",
};

export interface TrainerRun {
  /** The environment's interpreter. */
  readonly python: string;
  /** Which of the package's programs. */
  readonly program?: "flowmesh_training" | "flowmesh_training.ask";
  readonly args: readonly string[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Runs the trainer to its end and shows its progress. On an abort it is told to stop, which it may at any time.
 * @throws {UsageError} for what it says is bad input, {@link TrainingError} for any other failure, and the
 * signal's reason on an abort.
 */
export async function runTrainer(run: TrainerRun): Promise<void> {
  const { python, program = "flowmesh_training", args, progress, signal } = run;
  signal.throwIfAborted();
  const child = Bun.spawn([python, "-u", "-m", program, ...args], {
    // Neither what the user has installed elsewhere nor a folder that happens to be the current one.
    env: {
      ...process.env,
      PYTHONPATH: FOLDER,
      PYTHONNOUSERSITE: "1",
      PYTHONSAFEPATH: "1",
      PYTHONDONTWRITEBYTECODE: "1",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const stop = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop);
  try {
    const steps = new StepLines(progress);
    let errors = "";
    const readErrors = async () => {
      const decoder = new TextDecoder();
      for await (const chunk of child.stderr) {
        errors = (errors + decoder.decode(chunk, { stream: true })).slice(-ERRORS_CHARACTERS_MAX);
      }
    };
    await Promise.all([steps.read(child.stdout), readErrors()]);
    const code = await child.exited;
    signal.throwIfAborted();
    steps.end();
    if (code !== 0) throw failure(code, child.signalCode, errors);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function failure(code: number, killedBy: string | number | null, errors: string): Error {
  const said = errors.trim().replace(/^flowmesh_training: /, "");
  if (code === EXIT_BAD_INPUT) return new UsageError(said);
  if (killedBy === null)
    return new TrainingError(said === "" ? `the trainer ended with exit code ${code}` : said);
  const memory = killedBy === "SIGKILL" ? "; the machine may have run out of memory" : "";
  return new TrainingError(
    `the trainer was ended by ${killedBy}${memory}. The same command goes on where it was.${said === "" ? "" : `\n${said}`}`,
  );
}

/** The trainer's lines on standard output: a step's progress each. */
class StepLines {
  readonly #progress: Progress;
  #step: string | undefined;
  #note = "";
  #rest = "";

  constructor(progress: Progress) {
    this.#progress = progress;
  }

  async read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const lines = (this.#rest + decoder.decode(chunk, { stream: true })).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim() !== "") this.#show(line);
    }
  }

  end(): void {
    if (this.#step !== undefined) this.#progress.done(this.#note === "" ? "done" : this.#note);
    this.#step = undefined;
  }

  #show(line: string): void {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), stepSchema), line);
    if (!parsed.success) {
      this.#progress.line(line);
      return;
    }
    const { step, done, of, note } = parsed.output;
    if (step !== this.#step) {
      this.end();
      this.#step = step;
      this.#progress.begin(STEP_NAMES[step] ?? step);
    }
    this.#note = note;
    this.#progress.advance(of > 0 ? done / of : 0, note);
  }
}
