import { describe, expect, test } from "bun:test";
import { jsonLog, type LogLevel, textLog } from "../../../actors/runtime/log.ts";

const now = () => new Date("2026-01-02T03:04:05.678Z");
const LEVELS: LogLevel[] = ["debug", "info", "warn", "error"];

describe("logs", () => {
  test("jsonLog writes one object a line, errors with their stack", () => {
    const lines: string[] = [];
    const error = new Error("no luck\nat all");
    jsonLog((line) => void lines.push(line), { now }).write("warn", "restarting", {
      actor: "stage-0",
      error,
    });
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      {
        time: "2026-01-02T03:04:05.678Z",
        level: "warn",
        message: "restarting",
        actor: "stage-0",
        error: error.stack,
      },
    ]);
    expect(lines[0]).not.toContain("\n");
  });

  test("textLog writes a line that people can read", () => {
    const lines: string[] = [];
    const log = textLog((line) => void lines.push(line), { now });
    log.write("info", "ready");
    log.write("error", "gone", {
      actor: "stage-0",
      why: 'a "b"',
      n: 1.5,
      at: [1],
      error: new TypeError("x\ny"),
    });
    expect(lines).toEqual([
      "03:04:05.678 info  ready",
      '03:04:05.678 error gone actor=stage-0 why="a \\"b\\"" n=1.5 at=[1] error="TypeError: x\\ny"',
    ]);
  });

  test("both leave out what is below their level", () => {
    for (const make of [jsonLog, textLog]) {
      const counts = LEVELS.map((least) => {
        let lines = 0;
        const log = make(() => void lines++, { least });
        for (const level of LEVELS) log.write(level, "x");
        return lines;
      });
      expect(counts).toEqual([4, 3, 2, 1]);
    }
  });
});
