import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROMPTS_FILE, readPrompts } from "../../../bench/prompts.ts";
import { readTrainingPrompts, trainingLines } from "../../../cli/training/training-prompts.ts";
import { loadModelText } from "../../../models/model-text.ts";
import { runFlowmesh } from "../../flowmesh-command.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";

const CONTEXT = 512;

let folder = "";
let model = "";
/** A PATH without Python. */
let bare = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "train-drafter-"));
  model = join(folder, "tiny.gguf");
  await writeTinyGguf(model, { contextLength: CONTEXT });
  bare = join(folder, "bin");
  await mkdir(bare);
  await symlink(process.execPath, join(bare, "bun"));
});
afterAll(() => rm(folder, { recursive: true }));

async function promptsFile(name: string, ...lines: unknown[]): Promise<string> {
  const path = join(folder, name);
  await Bun.write(
    path,
    lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"),
  );
  return path;
}

const trainDrafter = (...args: string[]) =>
  runFlowmesh(["train-drafter", "--out", join(folder, "out"), ...args], {
    PATH: bare,
    HOME: folder,
    FLOWMESH_HOME: join(folder, "home"),
  });

describe("the prompts to train with", () => {
  test("are rendered as the model's chat, first turns only, from all files", async () => {
    const text = await loadModelText(model);
    const files = [
      await promptsFile("a.jsonl", { prompt: "What is tin?" }, "", { turns: ["Hello!", "And now?"] }),
      await promptsFile("b.jsonl", { id: "x", kind: "y", prompt: "Who made it?" }),
    ];
    const { prompts, leftOut } = await readTrainingPrompts(files, text, CONTEXT);
    const expected = ["What is tin?", "Hello!", "Who made it?"].map((content) => [
      ...text.encodeChat([{ role: "user", content }]),
    ]);
    expect(prompts.map((prompt) => [...prompt])).toEqual(expected);
    expect(leftOut).toEqual([]);
    const lines = trainingLines(prompts).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(expected.map((tokens) => ({ tokens })));
  });

  test("leave out what drafters are measured on, what is too long and what came before", async () => {
    const text = await loadModelText(model);
    const [measured] = await readPrompts(PROMPTS_FILE);
    const file = await promptsFile(
      "c.jsonl",
      { prompt: `Please: ${measured!.turns[0]}` },
      { prompt: "Tell me all of this. ".repeat(40) },
      { prompt: "A new one" },
      { prompt: "A new one" },
    );
    const { prompts, leftOut } = await readTrainingPrompts([file], text, CONTEXT);
    expect(prompts.length).toBe(1);
    expect(leftOut.length).toBe(3);
    expect(leftOut[0]).toContain("1 left out, which share 13 words in a row");
    expect(leftOut[0]).toContain("c.jsonl: line 1");
    expect(leftOut[1]).toContain("line 2");
    expect(leftOut[2]).toContain("line 4");
  });
});

describe("flowmesh train-drafter refuses", () => {
  const good = () => promptsFile("good.jsonl", { prompt: "What is tin?" });

  test("to begin without prompts for a model that knows no chat", async () => {
    const mute = join(folder, "mute.gguf");
    const bytes = Buffer.from(await Bun.file(model).arrayBuffer());
    for (const name of ["tokenizer.chat_template", "<|im_start|>"]) {
      // The template itself has the name of the token, too.
      for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name)) bytes.write("x", at + 2);
    }
    await Bun.write(mute, bytes);
    const { code, errors } = await trainDrafter("--model", mute);
    expect(errors).toContain(
      "cannot write prompts itself (name files with --prompts): This model has no chat",
    );
    expect(code).toBe(2);
  });

  test("a file of prompts that is not there, is empty, or is wrong, with the line", async () => {
    const cases = [
      [join(folder, "nowhere.jsonl"), "nowhere.jsonl: there is no such file"],
      [await promptsFile("empty.jsonl", ""), "empty.jsonl: there is no prompt in it"],
      [await promptsFile("wrong.jsonl", { prompt: "x" }, "", { text: "y" }), "wrong.jsonl, line 3: expected"],
      [await promptsFile("broken.jsonl", "{"), "broken.jsonl, line 1: expected"],
    ];
    for (const [path = "", says = ""] of cases) {
      const { code, errors } = await trainDrafter("--model", model, "--prompts", await good(), path);
      expect(errors).toContain(says);
      expect(errors).not.toContain("    at ");
      expect(code).toBe(1);
    }
  });

  test("to train when nothing is left, and says why", async () => {
    const { code, errors } = await trainDrafter("--model", model, "--prompts", PROMPTS_FILE);
    expect(errors).toContain("no prompt is left to train with: 60 left out, which share 13 words");
    expect(code).toBe(1);
  });

  test("a model of another architecture", async () => {
    const other = join(folder, "other.gguf");
    const bytes = new Uint8Array(await Bun.file(model).arrayBuffer());
    bytes.set(new TextEncoder().encode("mamba"), Buffer.from(bytes).indexOf("llama"));
    await Bun.write(other, bytes);
    const { code, errors } = await trainDrafter("--model", other, "--prompts", await good());
    expect(errors).toMatch(/other\.gguf: .*mamba/);
    expect(code).toBe(1);
  });

  test.each([
    [["--taps", "2,9"], "names layer 9, and tiny has 4 layers"],
    [["--taps", "4,2"], "Layers must be in ascending order"],
    [["--vocabulary", "1000"], "is 1000, and tiny has 384 tokens"],
    [["--hours", "0"], "It must be a number from 0.001"],
    [["--name", "../x"], "It must be a file name"],
    [["--device", "tpu"], "auto, cpu, cuda"],
    [["--workers", "0"], "It must be a whole number from 1 to 64"],
  ])("%p", async (args, says) => {
    const { code, errors } = await trainDrafter("--model", model, "--prompts", await good(), ...args);
    expect(errors).toContain(says);
    expect(code).toBe(2);
  });

  test("to go on without Python, and says how to get it", async () => {
    const { code, errors } = await trainDrafter("--model", model, "--prompts", await good());
    expect(errors).toContain("training needs Python 3.11 or later, and there is no python3 on PATH");
    expect(errors).toContain("apt-get install python3-venv");
    expect(code).toBe(1);
  });
});
