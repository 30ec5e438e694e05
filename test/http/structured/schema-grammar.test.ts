import { describe, expect, test } from "bun:test";
import Ajv from "ajv/dist/2020";
import { allows } from "../../../decoding/token-mask.ts";
import { SchemaError } from "../../../http/structured/schema-error.ts";
import { schemaGrammar } from "../../../http/structured/schema-grammar.ts";
import { GrammarEngine } from "../../../models/grammar/grammar-engine.ts";
import { BYTE_END, byteTokenizer } from "../../models/grammar/byte-tokenizer.ts";
import { seededRandom } from "../../simulation/world.ts";
import { letsThrough } from "./held-text.ts";
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

/** Whether the schema's grammar lets the text through, to its end. */
function accepts(schema: unknown, value: string): Promise<boolean> {
  const format = { type: "grammar", grammar: schemaGrammar(schema) };
  return letsThrough(engine, JSON.stringify({ type: "structural_tag", format }), value);
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

  test.each([
    [[-120, 1305]],
    [[-999_999_999, -3898]],
    [[-9_999, 99_999_999]],
    [[7, 7]],
    [[0, 99]],
    [[-30, -9]],
    [[98, 203]],
  ])("has each integer of a range and no other: %p", async ([minimum, maximum]) => {
    const schema = { type: "integer", minimum, maximum };
    const random = seededRandom(5);
    const numbers = new Set([minimum! - 1, minimum!, maximum!, maximum! + 1, 0]);
    for (let count = 0; count < 12; count++) numbers.add(Math.floor(random() * 1700) - 250);
    for (const value of [-24, -68, -99, -3890, -4000]) numbers.add(value);
    for (const value of numbers) {
      const isIn = value >= minimum! && value <= maximum!;
      expect({ value, is: await accepts(schema, String(value)) }).toEqual({ value, is: isIn });
    }
  });

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
    [".pattern", { type: "string", pattern: "(" }],
    [".pattern", { type: "string", pattern: "^(?=a)b$" }],
    [".pattern", { type: "string", pattern: "(?<!a)b" }],
    [".pattern", { type: "string", pattern: "(a)\\1" }],
    [".pattern", { type: "string", pattern: "\\bword" }],
    [".pattern", { type: "string", pattern: "\\p{L}" }],
    [".pattern", { type: "string", pattern: "(^a|b)" }],
    [".pattern", { type: "string", pattern: "a$b" }],
    [".pattern", { type: "string", pattern: "(a{100}){11}" }],
    [".pattern", { type: "string", pattern: `${"(".repeat(60)}a${"){2}".repeat(60)}` }],
    [".pattern", { type: "string", pattern: "[]" }],
    [".pattern", { type: "string", pattern: 3 }],
    [".maxLength", { type: "string", pattern: "^a+$", maxLength: 4 }],
    [".minLength", { type: "string", pattern: "^a?$", minLength: 1 }],
    [".format", { type: "string", pattern: "^a$", format: "date" }],
    [".properties.a.oneOf", { type: "object", properties: { a: { oneOf: [{}, { type: "null" }] } } }],
    [".oneOf", { oneOf: [{ type: "integer" }, { type: "number" }] }],
    [".oneOf", { oneOf: [{ enum: ["a", "b"] }, { const: "b" }] }],
    [
      ".oneOf",
      {
        oneOf: [
          { type: "object", properties: { a: { const: 1 } } },
          { type: "object", properties: { a: { const: 2 } } },
        ],
      },
    ],
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

  test.each([
    ["^[a-z]{2,4}-\\d+$", ["ab-1", "abcd-90"], ["a-1", "abcde-1", "ab-", "ab-1 "]],
    ["^(red|green)?$", ["", "red", "green"], ["blue", "redgreen"]],
    ["b+c", ["xxbbcx", "bc"], ["b", "cb", ""]],
    ["^a|z$", ["abc", "xyz"], ["bza"]],
    ["^[^a-z\\d]\\S.\\W$", ['A"\\\\-'.replace("\\\\", "\\"), "é😀\t "], ["aXX-", "A X-", "AX\n-"]],
    ["^\\u00e9\\ud83d\\ude00\\u{1f600}\\x41\\.\\/[\\]\\-x]$", ["é😀😀A./]", "é😀😀A./-"], ["é😀😀Ab/x"]],
    ["^(?:a(?<n>b|c)){2,}?$", ["abac", "ababab"], ["ab", "abca"]],
    ["^.\\S[^x]$", ["–中é", "éあ😀", "\ue000ж\n"], ["\u2028ab", "a\u3000b", "a\u00a0b", "abx"]],
    ["^\\s*\\w$", [" \n_", "\u00a0Z"], ["-", " "]],
    ["^[\\w.+-]+@[\\w-]+\\.[a-z]{2,}$", ["a.b+c@x-y.org"], ["a@b", "@b.cd"]],
  ])("holds strings to the pattern %p", async (pattern, fitting, others) => {
    const schema = { type: "string", pattern };
    for (const [texts, is] of [
      [fitting, true],
      [others, false],
    ] as const) {
      for (const text of texts) {
        expect({ text, ajv: ajv.validate(schema, text) }).toEqual({ text, ajv: is });
        expect({ text, is: await accepts(schema, JSON.stringify(text)) }).toEqual({ text, is });
      }
    }
    const random = seededRandom(11);
    for (let round = 0; round < 6; round++) {
      const text = await drawnText(schema, random);
      if (text === undefined) continue;
      expect({ text, fits: ajv.validate(schema, JSON.parse(text)) }).toEqual({ text, fits: true });
    }
  });

  test("takes lengths beside a pattern that keeps to them anyway", async () => {
    const schema = { type: "string", pattern: "^[ab]{2,4}$", minLength: 1, maxLength: 4 };
    expect(await accepts(schema, '"abba"')).toBe(true);
    expect(await accepts(schema, '"a"')).toBe(false);
  });

  test("takes oneOf where no value fits two of its schemas", async () => {
    const shape = (kind: string, more: object) => ({
      type: "object",
      properties: { kind: { const: kind }, ...more },
      required: ["kind", ...Object.keys(more)],
    });
    const schema = {
      oneOf: [
        { $ref: "#/$defs/circle" },
        shape("square", { side: { type: "integer" } }),
        { type: "null" },
        { enum: ["none", 3] },
        { type: "string", const: "all" },
      ],
      discriminator: { propertyName: "kind" },
      $defs: { circle: shape("circle", { radius: { type: "integer" } }) },
    };
    for (const [value, is] of [
      ['{"kind": "circle", "radius": 3}', true],
      ['{"kind": "square", "side": 3}', true],
      ['{"kind": "square", "radius": 3}', false],
      ["null", true],
      ['"none"', true],
      ['"all"', true],
      ["4", false],
    ] as const) {
      expect({ value, ajv: ajv.validate(schema, JSON.parse(value)) }).toEqual({ value, ajv: is });
      expect({ value, is: await accepts(schema, value) }).toEqual({ value, is });
    }
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
