/**
 * Takes one safeguard after the other out of a copy of the code and plays the simulation of hosts with it:
 * each must be caught. `bun test/simulation/mutants-script.ts [seeds]`
 */
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const FOLDERS = ["actors", "decoding", "http", "models", "test", "transport"];
const FILES = ["package.json", "tsconfig.json", "bunfig.toml"];
const [seeds = "400"] = process.argv.slice(2);

interface Mutant {
  readonly name: string;
  /** [file, what is there, what is put in its place] */
  readonly edits: readonly (readonly [string, string, string])[];
}

const MUTANTS: readonly Mutant[] = [
  { name: "none", edits: [] },
  {
    name: "a host does not end what it runs when its lease is over",
    edits: [
      ["actors/host/agent.ts", "this.#units.kill();\n    this.#formerInstance", "this.#formerInstance"],
    ],
  },
  {
    name: "the gateway takes doubled tokens",
    edits: [["actors/session-client.ts", "commit.tokens.slice(known)", "commit.tokens"]],
  },
  {
    name: "a stage takes segments whose forerunner is missing",
    edits: [
      [
        "actors/stage-sessions.ts",
        "if (frame.sequence > known.nextSequence) return this.#break(sid, frame.generation, nowMs);",
        "known.nextSequence = frame.sequence;",
      ],
    ],
  },
];

let missed = 0;
for (const { name, edits } of MUTANTS) {
  const folder = await mkdtemp(join(tmpdir(), "flowmesh-mutant-"));
  try {
    await Promise.all(FOLDERS.map((part) => cp(join(ROOT, part), join(folder, part), { recursive: true })));
    await Promise.all(FILES.map((file) => cp(join(ROOT, file), join(folder, file))));
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    for (const [file, from, to] of edits) {
      const path = join(folder, file);
      const text = await Bun.file(path).text();
      if (!text.includes(from)) throw new Error(`${file} has not got "${from}"`);
      await Bun.write(path, text.replace(from, to));
    }
    const run = Bun.spawnSync([process.execPath, "test", "test/simulation/hosts.test.ts"], {
      cwd: folder,
      env: { ...process.env, FLOWMESH_SEEDS: seeds },
    });
    const output = run.stderr.toString();
    const seed = /"?seed"?:? (\d+)/.exec(output)?.[1];
    const caught = run.exitCode !== 0;
    if (caught !== edits.length > 0) missed++;
    process.stdout.write(`${caught ? `caught by seed ${seed}` : `not caught in ${seeds} seeds`}: ${name}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
process.exit(missed === 0 ? 0 : 1);
