import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTrace } from "../../../bench/acceptance-trace.ts";
import { type DraftersResult, sumOfHits } from "../../../bench/drafters/drafter-result.ts";
import { parseDrafter } from "../../../bench/drafters/drafter-source.ts";
import { type EndedCommand, runFlowmesh } from "../../flowmesh-command.ts";
import { secondVersion, writeTinyHead } from "../../models/draft/tiny-head.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";

const TOKENS = 12;
const PROMPTS = [
  { id: "one", kind: "short", prompt: "so far so good" },
  { id: "two", kind: "talk", turns: ["hello there", "and then"] },
];

let folder = "";
let headPath = "";
let finished: EndedCommand;
let result: DraftersResult;

const benchDrafters = (...args: string[]) =>
  runFlowmesh(["bench-drafters", ...args], { ...process.env, FLOWMESH_HOME: join(folder, "home") });

const model = () => ["--model", join(folder, "tiny.gguf"), "--file", join(folder, "prompts.jsonl")];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bench-drafters-"));
  await writeTinyGguf(join(folder, "tiny.gguf"));
  headPath = await writeTinyHead(folder, await secondVersion(join(folder, "tiny.gguf"), 2));
  await Bun.write(join(folder, "prompts.jsonl"), PROMPTS.map((prompt) => JSON.stringify(prompt)).join("\n"));
  const amount = ["--tokens", String(TOKENS), "--devices", "jetson-like", "--out", join(folder, "out")];
  finished = await benchDrafters("ngram", headPath, `hybrid:${headPath}`, ...model(), ...amount);
  result = await Bun.file(join(folder, "out/drafters.json")).json();
}, 300_000);
afterAll(() => rm(folder, { recursive: true }));

describe("flowmesh bench-drafters", () => {
  test("leaves report, figures and a trace of each drafter", async () => {
    expect(finished.code).toBe(0);
    expect(finished.errors).not.toContain("flowmesh:");
    const traces = [
      "1-ngram.jsonl.gz",
      expect.stringMatching(/^2-.*\.jsonl\.gz$/),
      expect.stringMatching(/^3-/),
    ];
    expect((await readdir(join(folder, "out"))).sort()).toEqual([
      ...traces,
      "drafters.json",
      "drafters.md",
    ] as string[]);
    const report = await Bun.file(join(folder, "out/drafters.md")).text();
    expect(finished.output.trim()).toBe(report.trim());
    for (const kind of ["short", "talk"]) expect(report).toContain(`| ${kind} |`);
  });

  test("asks every drafter about the same answers: all turns, at each temperature", () => {
    const [first, ...others] = result.drafters.map(({ answers }) =>
      answers.map(({ prompt, turn, temperature, tokens }) => ({ prompt, turn, temperature, tokens })),
    );
    expect(first!.map(({ prompt, turn, temperature }) => `${prompt} ${turn} ${temperature}`)).toEqual([
      ...["one 1 0", "two 1 0", "two 2 0", "one 1 1", "two 1 1", "two 2 1"],
    ]);
    for (const other of others) expect(other).toEqual(first!);
  });

  test("counts each token but the first of an answer once at depth 1", () => {
    for (const { answers } of result.drafters) {
      const tokens = answers.reduce((sum, answer) => sum + Math.max(0, answer.tokens - 1), 0);
      expect(tokens).toBeGreaterThan(0);
      const hits = sumOfHits(answers);
      expect(hits[0]!.tokens).toBe(tokens);
      for (const { tokens: all, within } of hits) {
        expect(within[0]).toBeLessThanOrEqual(within[1]);
        expect(within[1]).toBeLessThanOrEqual(within[2]);
        expect(within[2]).toBeLessThanOrEqual(all);
      }
    }
  });

  test("tells what the heads are and what their passes take", () => {
    const [ngram, head, hybrid] = result.drafters;
    expect(ngram!.head).toBeUndefined();
    expect(head!.head).toMatchObject({ layers: 2, taps: [2, 4], vocabulary: 128 });
    expect(hybrid!.head).toEqual(head!.head!);
    expect(ngram!.times.passesAnExpansion).toBe(0);
    expect(head!.times.passesAnExpansion).toBeGreaterThan(0);
    expect(head!.times.pass.map(({ nodes }) => nodes)).toEqual([1, 2, 4, 8, 16]);
    for (const { ms } of head!.times.pass) expect(ms.median).toBeGreaterThan(0);
  });

  test("plays what was guessed, all of it and by kind; traces can be played again", async () => {
    for (const { played } of result.drafters) {
      expect(
        played.map(({ temperature, policy, kind }) => `${temperature} ${policy} ${kind ?? "all"}`),
      ).toEqual(
        ["0", "1"].flatMap((temperature) =>
          ["all", "short", "talk"].flatMap((kind) =>
            ["flowspec", "fullflow"].map((policy) => `${temperature} ${policy} ${kind}`),
          ),
        ),
      );
      for (const { tokensPerCommit } of played) expect(tokensPerCommit).toBeGreaterThanOrEqual(1);
    }
    const { header, sessions } = await readTrace(join(folder, "out/1-ngram.jsonl.gz"));
    expect(header.drafter).toBe("ngram");
    expect(sessions.length).toBe(6);
  });

  test.each([
    ["a drafter that is none", ["eagle"], 2, "It must be head, ngram, hybrid, FILE.json or hybrid:FILE.json"],
    ["a drafter twice", ["ngram", "ngram"], 2, "It is named twice"],
    ["a head that is not there", ["nowhere.json"], 1, "nowhere.json: it cannot be read"],
    ["a head for another model", ["head"], 1, "does not fit tiny 1"],
    ["a device that is none", ["ngram", "--devices", "abacus"], 2, "it must be one of"],
  ])("refuses %s", async (_, args, code, says) => {
    const refused = await benchDrafters(...args, ...model());
    expect(refused.errors).toContain(says);
    expect(refused.code).toBe(code);
  });
});

test("drafters are named by kind, by file, or both", () => {
  expect(parseDrafter("hybrid")).toEqual({ name: "hybrid", kind: "hybrid" });
  expect(parseDrafter("a/b.json")).toEqual({ name: "a/b.json", kind: "head", manifestPath: "a/b.json" });
  const mixed = { name: "hybrid:b.json", kind: "hybrid", manifestPath: "b.json" } as const;
  expect(parseDrafter("hybrid:b.json")).toEqual(mixed);
  for (const wrong of ["", "ngram:b.json", "none", "b.safetensors"])
    expect(parseDrafter(wrong)).toBeUndefined();
});
