import { describe, expect, test } from "bun:test";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Takes one safeguard after the other out of a copy of the code and plays the simulation of hosts with it: each
 * must be caught. FLOWMESH_MUTANT_SEEDS=2000 gives each of them longer.
 */
const ROOT = join(import.meta.dir, "../..");
const FOLDERS = ["actors", "decoding", "http", "models", "test", "transport"];
const FILES = ["package.json", "tsconfig.json", "bunfig.toml"];
const SEEDS = process.env.FLOWMESH_MUTANT_SEEDS ?? "100";
const MINUTES = 60_000;

/** Where a fault shows only now and then, seeds are played from where it is known to. */
const FIRST_SEED: Readonly<Record<string, number>> = { "epochs are neither in subjects nor checked": 640 };

/** [file, what is there, what is put in its place] */
type Edit = readonly [string, string, string];

const MUTANTS: Readonly<Record<string, readonly Edit[]>> = {
  "a host goes on with what it runs when its lease is over": [
    ["actors/host/agent.ts", "this.#units.kill();\n    this.#formerInstance", "this.#formerInstance"],
  ],
  "epochs are neither in subjects nor checked": [
    [
      "transport/subjects.ts",
      "return epoch === ANY",
      'if (epoch !== ANY) return "e0";\n  return epoch === ANY',
    ],
    ["actors/stage.ts", "if (frame.epoch !== epoch) return;", ""],
    ["actors/stage.ts", "commit.epoch !== this.#options.epoch || ", ""],
    ["actors/drafter.ts", "if (commit.epoch !== this.#options.epoch) return;", ""],
    ["actors/tree-manager.ts", "if (commit.epoch !== this.#pipeline.epoch) return;", ""],
  ],
  "the gateway takes doubled tokens": [
    ["actors/session-client.ts", "commit.tokens.slice(known)", "commit.tokens"],
  ],
  "a stage takes doubled segments": [
    ["actors/stage-sessions.ts", 'if (frame.sequence < known.nextSequence) return { kind: "stale" };', ""],
    [
      "actors/stage-sessions.ts",
      "if (frame.sequence > known.nextSequence) return this.#break(sid, frame.generation, nowMs);\n    known.nextSequence++;",
      "if (frame.sequence > known.nextSequence) return this.#break(sid, frame.generation, nowMs);\n    known.nextSequence = frame.sequence + 1;",
    ],
  ],
  "a stage takes segments whose forerunner is missing": [
    [
      "actors/stage-sessions.ts",
      "if (frame.sequence > known.nextSequence) return this.#break(sid, frame.generation, nowMs);",
      "known.nextSequence = frame.sequence;",
    ],
  ],
  "a stage prunes by a commit before an earlier one that it has missed": [
    [
      "decoding/live-rows.ts",
      "const path = this.#pathTo(last);",
      "const path = this.#pathTo(last).filter(({ id }) => accepted.includes(id));",
    ],
  ],
};

async function mutated(edits: readonly Edit[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flowmesh-mutant-"));
  await Promise.all(FOLDERS.map((part) => cp(join(ROOT, part), join(folder, part), { recursive: true })));
  await Promise.all(FILES.map((file) => cp(join(ROOT, file), join(folder, file))));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  for (const [file, from, to] of edits) {
    const path = join(folder, file);
    const text = await Bun.file(path).text();
    // Else it would be no mutant, and this test could not tell.
    expect(text).toContain(from);
    await Bun.write(path, text.replace(from, to));
  }
  return folder;
}

describe("the simulation of hosts notices when", () => {
  for (const [name, edits] of Object.entries(MUTANTS)) {
    test(
      name,
      async () => {
        const folder = await mutated(edits);
        const first = FIRST_SEED[name] ?? 1;
        try {
          const run = Bun.spawn([process.execPath, "test", "test/simulation/hosts.test.ts"], {
            cwd: folder,
            env: { ...process.env, FLOWMESH_SEED: `${first}-${first + Number(SEEDS)}` },
            stdout: "ignore",
            stderr: "pipe",
          });
          const output = await new Response(run.stderr).text();
          expect({ seeds: SEEDS, seed: /"?seed"?:? (\d+)/.exec(output)?.[1] }).toEqual({
            seeds: SEEDS,
            seed: expect.any(String),
          });
          expect(await run.exited).toBe(1);
          console.log(`${name}: caught by seed ${/"?seed"?:? (\d+)/.exec(output)?.[1]}`);
        } finally {
          await rm(folder, { recursive: true, force: true });
        }
      },
      20 * MINUTES,
    );
  }
});
