import { describe, expect, test } from "bun:test";
import Ajv from "ajv/dist/2020";
import { allows, GrammarError } from "../../../decoding/token-mask.ts";
import { SchemaError, schemaGrammar } from "../../../http/structured/schema-grammar.ts";
import { GrammarEngine } from "../../../models/grammar/grammar-engine.ts";
import { BYTE_END, byteTokenizer } from "../../models/grammar/byte-tokenizer.ts";
import { seededRandom } from "../../simulation/world.ts";
import { randomSchema } from "./random-schema.ts";

const ajv = new Ajv({
  strict: false,
  formats: {
    date: isDate,
    time: /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
    "date-time": (text) => isDate(text.slice(0, 10)) && text[10] === "T" && !Number.isNaN(Date.parse(text)),
    uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
    ipv4: (text) => text.split(".").length === 4 && text.split(".").every((one) => Number(one) < 256),
    email: /^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$/,
    uri: (text) => URL.canParse(text),
  },
});

/** Whether there is such a day. */
function isDate(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text);
}

const engine = await GrammarEngine.open(byteTokenizer());
const STEPS = 400;

/** Draws tokens that the grammar allows until it ends; undefined when it takes too long. */
async function drawnText(schema: unknown, random: () => number): Promise<string | undefined> {
  const grammar = JSON.stringify({
    type: "structural_tag",
    format: { type: "grammar", grammar: schemaGrammar(schema) },
  });
  const session = String(random());
  const answer: number[] = [];
  try {
    while (answer.length < STEPS) {
      const mask = await engine.next(session, { grammar, stopTokens: [BYTE_END] }, answer);
      const allowed = Array.from({ length: 257 }, (_, token) => token).filter((token) => allows(mask, token));
      expect(allowed).not.toEqual([]);
      const closing = allowed.filter(
        (token) => token === BYTE_END || '"]},'.includes(String.fromCharCode(token)),
      );
      const from = closing.length > 0 && random() < 0.5 ? closing : allowed;
      const token = from[Math.floor(random() * from.length)] ?? BYTE_END;
      if (token === BYTE_END)
        return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(answer));
      answer.push(token);
    }
    return undefined;
  } finally {
    engine.release(session);
  }
}

/** Whether the grammar lets the text through, to its end. */
async function accepts(schema: unknown, value: string): Promise<boolean> {
  const grammar = JSON.stringify({
    type: "structural_tag",
    format: { type: "grammar", grammar: schemaGrammar(schema) },
  });
  const answer = [...new TextEncoder().encode(value)];
  try {
    const mask = await engine.next("accepts", { grammar, stopTokens: [BYTE_END] }, answer);
    return allows(mask, BYTE_END);
  } catch (error) {
    if (error instanceof GrammarError) return false;
    throw error;
  } finally {
    engine.release("accepts");
  }
}

describe("the grammar of a JSON schema", () => {
  test("lets through only what the schema does, by another validator", async () => {
    const random = seededRandom(7);
    let finished = 0;
    for (let round = 0; round < 120; round++) {
      const schema = randomSchema(random);
      const text = await drawnText(schema, random);
      if (text === undefined) continue;
      finished++;
      const fits = ajv.validate(schema, JSON.parse(text));
      expect({ schema, text, fits, errors: ajv.errors }).toEqual({ schema, text, fits: true, errors: null });
    }
    expect(finished).toBeGreaterThan(80);
  }, 60_000);

  test.each(["email", "uri"])("has strings of the format %s", async (format) => {
    const random = seededRandom(3);
    for (let round = 0; round < 5; round++) {
      const text = await drawnText({ type: "string", format }, random);
      if (text !== undefined) expect(ajv.validate({ type: "string", format }, JSON.parse(text))).toBe(true);
    }
  });

  test.each([[[-120, 1305]], [[7, 7]], [[0, 99]], [[-30, -9]], [[98, 203]]])(
    "has each integer of a range and no other: %p",
    async ([minimum, maximum]) => {
      const schema = { type: "integer", minimum, maximum };
      const random = seededRandom(5);
      const numbers = new Set([minimum! - 1, minimum!, maximum!, maximum! + 1, 0]);
      for (let count = 0; count < 12; count++) numbers.add(Math.floor(random() * 1700) - 250);
      for (const value of numbers) {
        const isIn = value >= minimum! && value <= maximum!;
        expect({ value, is: await accepts(schema, String(value)) }).toEqual({ value, is: isIn });
      }
    },
  );

  test("follows references, also to what holds itself", async () => {
    const node = {
      type: "object",
      properties: { value: { type: "null" }, next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] } },
      required: ["value", "next"],
    };
    const schema = { $ref: "#/$defs/node", $defs: { node } };
    expect(await accepts(schema, '{"value": null, "next": {"value": null, "next": null}}')).toBe(true);
    expect(await accepts(schema, '{"value": null, "next": {"value": null}}')).toBe(false);
  });

  test.each([
    [".pattern", { type: "string", pattern: "a+" }],
    [".properties.a.oneOf", { type: "object", properties: { a: { oneOf: [{}] } } }],
    [".not", { not: {} }],
    [".type", { type: "text" }],
    [".items.multipleOf", { type: "array", items: { type: "number", multipleOf: 3 } }],
    [".uniqueItems", { type: "array", uniqueItems: true }],
    [".minLength", { type: "string", minLength: 4, maxLength: 3 }],
    [".format", { type: "string", format: "hostname" }],
    [".$ref", { $ref: "https://example.org/schema" }],
    [".$ref", { $ref: "#/$defs/none" }],
    [".$ref", { $ref: "#/$defs/%E0%A4%A" }],
    [".$ref.$ref", { $ref: "#" }],
    [".maximum", { type: "number", maximum: 1.5 }],
    [".type", { type: "string", anyOf: [{}] }],
    [".required", { type: "object", required: "a" }],
    ["", { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }],
    ["", { type: "integer", minimum: 3, maximum: 2 }],
  ])("is refused at %p for what it can't hold", (path, schema) => {
    let error: unknown;
    try {
      schemaGrammar(schema);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SchemaError);
    expect((error as SchemaError).path).toBe(path);
  });

  test("is made in no time for schemas that refer to each other twice over", () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => {
        const next = { $ref: `#/$defs/d${(i + 1) % 40}` };
        return [`d${i}`, { type: "object", properties: { a: next, b: next }, required: ["a", "b"] }];
      }),
    );
    expect(() => schemaGrammar({ $ref: "#/$defs/d0", $defs })).toThrow(/no finite value/);
  });
});
