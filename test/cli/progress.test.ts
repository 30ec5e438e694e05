import { describe, expect, test } from "bun:test";
import { Progress } from "../../cli/progress.ts";
import { CapturedStream } from "./captured-stream.ts";

/** What is left on a terminal's lines, with carriage return and "erase line" carried out. */
function screen(text: string): string[] {
  return text.split("\n").map((line) => line.split("\r\x1b[2K").at(-1) ?? "");
}

describe("without a terminal", () => {
  test("a step is a few plain lines, at most one for each quarter", () => {
    const stream = new CapturedStream({ isTTY: false });
    const progress = new Progress(stream);
    progress.begin("model");
    for (let done = 0; done <= 1000; done++) progress.advance(done / 1000);
    progress.done("SmolLM2 (/cache/model.gguf)");
    expect(stream.text.split("\n")).toEqual([
      "model…",
      "model… 25%",
      "model… 50%",
      "model… 75%",
      "model: SmolLM2 (/cache/model.gguf)",
      "",
    ]);
  });

  test("has no control characters, and a step that jumps is shown once", () => {
    const stream = new CapturedStream({ isTTY: false });
    const progress = new Progress(stream);
    progress.begin("stages");
    progress.advance(0.9);
    progress.advance(0.95);
    progress.done("4 of 4");
    expect(stream.text).toBe("stages…\nstages… 90%\nstages: 4 of 4\n");
  });
});

describe("on a terminal", () => {
  test("a step is one line that is rewritten", () => {
    const stream = new CapturedStream({ isTTY: true });
    const progress = new Progress(stream);
    progress.begin("model");
    progress.advance(0.5);
    expect(screen(stream.text)).toEqual(["  model… 50%"]);
    progress.done("here");
    progress.begin("stages");
    progress.done("there");
    expect(screen(stream.text)).toEqual(["✓ model: here", "✓ stages: there", ""]);
  });

  test("a note stands behind the percentage, and is rewritten when it changes", () => {
    const stream = new CapturedStream({ isTTY: true });
    const progress = new Progress(stream);
    progress.begin("answers");
    progress.advance(0.5, "3 min left");
    expect(screen(stream.text)).toEqual(["  answers… 50%, 3 min left"]);
    progress.advance(0.501, "2 min left");
    expect(screen(stream.text)).toEqual(["  answers… 50%, 2 min left"]);
  });

  test("a log line does not overwrite the step's line", () => {
    const stream = new CapturedStream({ isTTY: true });
    const progress = new Progress(stream);
    progress.begin("actors");
    progress.line("stage-0: a warning");
    progress.done("all");
    expect(screen(stream.text)).toEqual(["  actors…", "stage-0: a warning", "✓ actors: all", ""]);
  });

  test("a line that is too long is cut to the width, so that it stays one line", () => {
    const stream = new CapturedStream({ isTTY: true, columns: 20 });
    new Progress(stream).begin("a step with a very long name");
    expect(screen(stream.text)[0]?.length).toBeLessThan(20);
  });
});
