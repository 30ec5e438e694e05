import { describe, expect, test } from "bun:test";
import { InvalidArgumentError } from "commander";
import { linkModel } from "../../cli/link-model.ts";

describe("a link on the command line", () => {
  test.each([
    ["20ms", { delayMs: 20 }],
    ["0ms", { delayMs: 0 }],
    ["1ms/150mbit", { delayMs: 1, mbps: 150 }],
    [".25ms/2.5gbit", { delayMs: 0.25, mbps: 2500 }],
    ["10000ms/64kbit", { delayMs: 10_000, mbps: 0.064 }],
  ])("%s", (text, link) => {
    expect(linkModel(text)).toEqual(link);
  });

  test.each([
    ["", /a delay like 20ms/],
    ["20", /a delay like 20ms/],
    ["-1ms", /a delay like 20ms/],
    ["1e3ms", /a delay like 20ms/],
    ["150mbit", /a delay like 20ms/],
    ["1ms/", /a delay like 20ms/],
    ["1ms/150", /kbit, mbit or gbit/],
    ["1ms/150mbps", /kbit, mbit or gbit/],
    ["1ms 150mbit", /a delay like 20ms/],
    ["1ms/0mbit", /more than 0/],
    ["10001ms", /from 0 to 10000 ms/],
  ])("%p is refused", (text, why) => {
    expect(() => linkModel(text)).toThrow(InvalidArgumentError);
    expect(() => linkModel(text)).toThrow(why);
  });
});
