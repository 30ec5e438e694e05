import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DraftersResult, sumOfHits } from "../../bench/drafters/drafter-result.ts";
import { readSettings } from "../../cli/settings.ts";
import { provideTrainingPython } from "../../cli/training/train-drafter.ts";
import { readHeadManifest } from "../../models/draft/head-manifest.ts";
import { runFlowmesh } from "../flowmesh-command.ts";
import { secondVersion, writeTinyHead } from "../models/draft/tiny-head.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const ROOT = join(import.meta.dir, "../..");
const PROMPTS = join(ROOT, "training/prompts/short.jsonl");
const MINUTES = 60_000;
/** Of the share of tokens that are among the best four guesses. */
const MARGIN = 0.03;

let folder = "";
let trained = "";
let untrained = "";

/** The user's own cache is used: the Python environment is made once for all tests. */
const flowmesh = (...args: string[]) => runFlowmesh(args);

const training = () => [
  ...["train-drafter", "--model", join(folder, "tiny.gguf"), "--prompts", PROMPTS, "--hours", "0.01"],
  ...["--answer-tokens", "60", "--vocabulary", "256", "--out", folder, "--name", "own"],
  ...["--work", join(folder, "work"), "--licence", "CC0-1.0", "--workers", "2"],
  ...["--own-prompts", "40"],
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "train-drafter-"));
  await writeTinyGguf(join(folder, "tiny.gguf"), { contextLength: 2048 });
  untrained = await writeTinyHead(folder, await secondVersion(join(folder, "tiny.gguf"), 1));
  trained = join(folder, "own.json");
});
afterAll(() => rm(folder, { recursive: true }));

describe("flowmesh train-drafter", () => {
  test(
    "makes a head that a mesh can load, and says what it is",
    async () => {
      const { code, output, errors } = await flowmesh(...training());
      expect(errors).not.toContain("flowmesh:");
      expect(code).toBe(0);
      expect(output).toContain("--draft-head");
      const manifest = await readHeadManifest(trained);
      expect(manifest.training).toMatchObject({ sources: "short.jsonl, prompts that the model wrote" });
      expect(manifest).toMatchObject({ version: 2, layers: 1, draftVocabulary: 256, licence: "CC0-1.0" });
    },
    12 * MINUTES,
  );

  test(
    "guesses better than chance, in the engine that drafts",
    async () => {
      const out = join(folder, "measured");
      const amount = ["--prompts", "12", "--tokens", "40", "--devices", "jetson-like", "--out", out];
      const model = ["--model", join(folder, "tiny.gguf")];
      const { code, errors } = await flowmesh("bench-drafters", untrained, trained, ...model, ...amount);
      expect(errors).not.toContain("flowmesh:");
      expect(code).toBe(0);
      const result: DraftersResult = await Bun.file(join(out, "drafters.json")).json();
      for (const temperature of [0, 1]) {
        const [chance = 0, share = 0] = result.drafters.map(({ answers }) => {
          const [first] = sumOfHits(answers.filter((answer) => answer.temperature === temperature));
          const [, among4 = 0] = first?.within ?? [];
          return among4 / (first?.tokens ?? 1);
        });
        // Noise that guesses and draws share makes even an untrained head right at times.
        expect(share).toBeGreaterThan(chance + MARGIN);
      }
    },
    4 * MINUTES,
  );

  test(
    "stopped, goes on where it was: what is done is not done again",
    async () => {
      const first = await Bun.file(trained).json();
      const { code } = await flowmesh(...training());
      expect(code).toBe(0);
      expect((await Bun.file(trained).json()).weights.sha256).toBe(first.weights.sha256);
    },
    4 * MINUTES,
  );

  test(
    "has a trainer whose own tests pass",
    async () => {
      const { python } = await provideTrainingPython({ cacheRoot: readSettings(process.env).cache });
      const child = Bun.spawn([python, "-m", "unittest", "discover", "-s", "tests", "-t", "."], {
        cwd: join(ROOT, "training"),
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
      });
      const said = await new Response(child.stderr).text();
      expect(said).toMatch(/Ran \d+ tests[\s\S]*OK/);
      expect(await child.exited).toBe(0);
    },
    4 * MINUTES,
  );
});
