import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import Ajv from "ajv/dist/2020";
import { callStart } from "../../../http/structured/tool-use.ts";
import { GrammarEngine } from "../../../models/grammar/grammar-engine.ts";
import { byteTokenizer } from "../../models/grammar/byte-tokenizer.ts";
import { END_TOKEN } from "../byte-text.ts";
import { ServedGateway } from "../served-gateway.ts";
import { letsThrough } from "./held-text.ts";

const ajv = new Ajv({ strict: false });
let gateway: ServedGateway;
let engine: GrammarEngine;

beforeAll(async () => {
  gateway = new ServedGateway({ commits: [[END_TOKEN]] });
  engine = await GrammarEngine.open(byteTokenizer());
});
afterAll(() => gateway[Symbol.asyncDispose]());

const ask = (fields: object) =>
  gateway.post("/v1/chat/completions", { messages: [{ role: "user", content: "How many?" }], ...fields });

const withSchema = (schema: object) => ({
  response_format: { type: "json_schema", json_schema: { name: "x", schema } },
});

/** The grammar that the session of such a request is held to. */
async function grammarOf(fields: object): Promise<string> {
  const response = await ask(fields);
  expect({ status: response.status, body: await response.text() }).toMatchObject({ status: 200 });
  return gateway.sessions.last.request.grammar ?? "";
}

const BOUNDS = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

/** Numbers at, next to and far from each bound, plainly written: no exponent, no needless zeros. */
function plainNumbers(schema: Readonly<Record<string, unknown>>): string[] {
  const numbers = new Set([0, 1, -1, 0.5, -0.5, 7, -7, 123_456, -123_456]);
  for (const keyword of BOUNDS) {
    const bound = schema[keyword];
    if (typeof bound !== "number") continue;
    for (const step of [0, 1, 0.5, 0.001, 10, 100]) numbers.add(bound + step).add(bound - step);
  }
  return [...numbers].map((number) => String(Number(number.toFixed(3))));
}

/** The same and other numbers in ways that a bound might be got around by. */
const ODD = [
  "-0",
  "00",
  "01",
  "+1",
  "1e9",
  "-1e9",
  "1E+9",
  "0.0",
  "1.0",
  ".5",
  "5.",
  "-",
  "",
  "9999999999999999",
];

describe("bounds of numbers hold the answer", () => {
  test.each([
    { type: "integer", minimum: 3 },
    { type: "integer", maximum: -3 },
    { type: "integer", minimum: -12, maximum: 104 },
    { type: "integer", exclusiveMinimum: 0, exclusiveMaximum: 10 },
    { type: "integer", minimum: 2.5, exclusiveMaximum: 99.5 },
    { type: "integer", minimum: 5, exclusiveMinimum: 7, maximum: 20, exclusiveMaximum: 12 },
    { type: "number", minimum: 0, maximum: 1 },
    { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 },
    { type: "number", exclusiveMinimum: -3 },
    { type: "number", maximum: 1000 },
    { type: "number", minimum: -20, exclusiveMaximum: -4 },
    { minimum: 18 },
    { type: ["number", "null"], minimum: 18, exclusiveMaximum: 30 },
  ])("%j", async (schema: Readonly<Record<string, unknown>>) => {
    const grammar = await grammarOf(withSchema(schema));
    for (const text of plainNumbers(schema)) {
      const fits = ajv.validate(schema, JSON.parse(text));
      expect({ text, fits: await letsThrough(engine, grammar, text) }).toEqual({ text, fits });
    }
    for (const text of ODD) {
      if (!(await letsThrough(engine, grammar, text))) continue;
      expect({ text, fits: ajv.validate(schema, JSON.parse(text)) }).toEqual({ text, fits: true });
    }
  });

  test("in a call's arguments, too", async () => {
    const parameters = {
      type: "object",
      properties: { days: { type: "integer", minimum: 1, maximum: 14 } },
      required: ["days"],
    };
    const tools = [{ type: "function", function: { name: "forecast", parameters } }];
    const grammar = await grammarOf({ tools, tool_choice: "required" });
    for (const [days, is] of [
      [0, false],
      [1, true],
      [14, true],
      [15, false],
    ] as const) {
      const call = `${callStart("forecast")}{"days": ${days}}}\n</tool_call>`;
      expect({ days, is: await letsThrough(engine, grammar, call) }).toEqual({ days, is });
    }
  });
});

describe("what can't be held is a 400 that names the keyword", () => {
  const inside = (schema: object) => ({ type: "object", properties: { a: schema } });
  test.each([
    ["not", { not: { type: "null" } }, "not is not supported"],
    ["not", { type: "integer", not: { const: 3 } }, "not is not supported"],
    ["not", { anyOf: [{ type: "integer" }], not: { const: 3 } }, "not is not supported"],
    ["not", { enum: [1, 2], not: { const: 1 } }, "not is not supported"],
    ["multipleOf", { type: "integer", multipleOf: 5 }, "multipleOf is not supported"],
    ["multipleOf", { type: "number", minimum: 0, multipleOf: 0.01 }, "multipleOf is not supported"],
    ["multipleOf", { multipleOf: 2 }, "multipleOf is not supported"],
    ["maximum", { type: "number", maximum: 1.5 }, "bounds of numbers must be whole"],
    ["exclusiveMinimum", { type: "number", exclusiveMinimum: -0.5 }, "bounds of numbers must be whole"],
    ["exclusiveMaximum", { type: "integer", exclusiveMaximum: true, maximum: 3 }, "it must be a number"],
    ["minimum", { type: "integer", minimum: "3" }, "it must be a number"],
    ["minimum", { enum: [1, 2], minimum: 2 }, "minimum is not supported beside enum"],
    ["maximum", { $ref: "#/properties/b", maximum: 2 }, "maximum is not supported beside $ref"],
  ])("%s of %j", async (keyword, schema, says) => {
    const opened = gateway.sessions.opened.length;
    for (const [fields, at] of [
      [withSchema(inside(schema)), "response_format.json_schema.schema"],
      [
        { tools: [{ type: "function", function: { name: "f", parameters: inside(schema) } }] },
        "tools[0].function.parameters",
      ],
    ] as const) {
      const response = await ask(fields);
      const param = `${at}.properties.a.${keyword}`;
      expect({ status: response.status, body: await response.json() }).toMatchObject({
        status: 400,
        body: { error: { type: "invalid_request_error", param, message: `${param}: ${says}` } },
      });
    }
    expect(gateway.sessions.opened).toHaveLength(opened);
  });

  test.each([
    { type: "integer", minimum: 3, maximum: 2 },
    { type: "integer", exclusiveMinimum: 3, exclusiveMaximum: 4 },
    { type: "integer", minimum: 1e15 },
    { type: "number", exclusiveMinimum: 3, exclusiveMaximum: 3 },
  ])("nor can bounds with nothing between them: %j", async (schema) => {
    const response = await ask(withSchema(inside(schema)));
    const param = "response_format.json_schema.schema.properties.a";
    const message = `${param}: no ${schema.type} of at most 15 digits lies within these bounds`;
    expect({ status: response.status, body: await response.json() }).toMatchObject({
      status: 400,
      body: { error: { param, message } },
    });
  });
});
