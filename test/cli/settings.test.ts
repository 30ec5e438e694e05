import { describe, expect, test } from "bun:test";
import { readSettings } from "../../cli/settings.ts";
import { UsageError } from "../../cli/usage-error.ts";

describe("settings", () => {
  test("come from the environment given", () => {
    expect(
      readSettings({ FLOWMESH_HOME: "/srv/flowmesh", FLOWMESH_LOG: "debug", FLOWMESH_LOG_FORMAT: "json" }),
    ).toEqual({
      cache: "/srv/flowmesh",
      runs: "/srv/flowmesh/run",
      logLevel: "debug",
      logFormat: "json",
    });
  });

  test("have defaults below the user's cache folder", () => {
    expect(readSettings({ HOME: "/home/ada" })).toMatchObject({
      cache: "/home/ada/.cache/flowmesh",
      logLevel: "warn",
      logFormat: "text",
    });
  });

  test("that are impossible name the variable, its value and what would be right", () => {
    const read = () => readSettings({ FLOWMESH_LOG: "loud" });
    expect(read).toThrow(UsageError);
    expect(read).toThrow(/FLOWMESH_LOG is 'loud'.*debug, info, warn, error/);
  });
});
