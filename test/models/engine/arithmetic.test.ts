import { expect, test } from "bun:test";
import { arithmeticName } from "../../../models/arithmetic.ts";

test("a machine has one name for its arithmetic, however many threads compute", async () => {
  const name = await arithmeticName(1);
  expect(name).toMatch(/^[0-9a-f]{8}$/);
  expect(await arithmeticName(2)).toBe(name);
  expect(await arithmeticName(1)).toBe(name);
});
