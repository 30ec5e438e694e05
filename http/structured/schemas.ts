import * as v from "valibot";
import { described, noArray, oneForm } from "../described.ts";
import { invalidRequest } from "../errors.ts";
import { answerGrammar } from "./answer-format.ts";
import type { SchemaField } from "./schema-grammar.ts";
import type { ToolDescription, ToolUse } from "./tool-use.ts";

const TOOLS_MAX = 128;

const name = v.pipe(
  v.string(),
  v.regex(/^[a-zA-Z0-9_-]{1,64}$/, "It must be 1 to 64 of a-z, A-Z, 0-9, _ and -"),
);
const schemaObject = noArray(v.record(v.string(), v.unknown()));
const strict = described(v.nullish(v.boolean()), "Has no effect: answers always fit their schema.");
const ignoredText = described(v.nullish(v.string()), "Has no effect.");

const formats = {
  text: v.strictObject({ type: described(v.literal("text"), "Any text.") }),
  json_object: v.strictObject({ type: described(v.literal("json_object"), "Any JSON object.") }),
  json_schema: v.strictObject({
    type: described(v.literal("json_schema"), "JSON that fits a schema."),
    json_schema: described(
      v.strictObject({
        name: described(name, "Has no effect."),
        description: ignoredText,
        schema: described(v.nullish(schemaObject), "A JSON Schema of the supported subset."),
        strict,
      }),
      "The schema, and its name.",
    ),
  }),
};

const functionType = v.literal("function", 'Only tools of type "function" are supported');

/** A tool as a request describes it. */
export const tool = v.strictObject({
  type: described(functionType, "The only kind of tool."),
  function: described(
    v.strictObject({
      name: described(name, "Name by which the model calls it."),
      description: described(v.nullish(v.string()), "What it does, for the model."),
      parameters: described(
        v.nullish(schemaObject),
        "A JSON Schema, of the supported subset, of its arguments.",
      ),
      strict,
    }),
    "The function.",
  ),
});

const namedTool = v.strictObject({
  type: described(v.literal("function"), "The only kind of tool."),
  function: described(
    v.strictObject({ name: described(v.string(), "Name of one of `tools`.") }),
    "The function that is to be called.",
  ),
});

const toolChoice = oneForm({ named: namedTool, rule: v.picklist(["none", "auto", "required"]) }, (input) =>
  typeof input === "object" ? "named" : "rule",
);

/** Request fields that bind an answer's form. */
export const structuredFields = {
  response_format: described(
    v.nullish(v.variant("type", [formats.text, formats.json_object, formats.json_schema])),
    "The form that the answer must have.",
  ),
  tools: described(
    v.nullish(v.pipe(v.array(tool), v.maxLength(TOOLS_MAX))),
    "Functions that the model may call.",
  ),
  tool_choice: described(v.nullish(toolChoice), 'Whether it must call one, and which; "auto" with tools.'),
  parallel_tool_calls: described(v.nullish(v.boolean(), true), "Whether there may be several calls."),
};

const fields = v.object(structuredFields);

/** What a request demands of its answer's form. */
export interface StructuredParams {
  /** SessionRequest's grammar. */
  readonly grammar?: string | undefined;
  /** Tools that the prompt tells of; undefined: none, and the answer is plain text. */
  readonly tools: readonly ToolDescription[] | undefined;
}

/** Throws ApiError 400 for tools that don't fit together, and schemas outside the supported subset. */
export function structuredParams(request: v.InferOutput<typeof fields>): StructuredParams {
  const format = formatOf(request.response_format);
  const use = toolUse(request);
  if (use !== undefined && format !== undefined && !use.mustCall) {
    throw invalidRequest(
      'response_format beside tools needs tool_choice "none", "required" or a named function',
      "response_format",
    );
  }
  const tools =
    use &&
    (request.tools ?? []).map(({ type, function: { strict: _, ...described } }) => ({
      type,
      function: {
        name: described.name,
        ...(described.description != null && { description: described.description }),
        parameters: described.parameters ?? { type: "object", properties: {} },
      },
    }));
  return { grammar: answerGrammar(use === undefined ? format : undefined, use), tools };
}

function formatOf(format: v.InferOutput<typeof fields>["response_format"]): SchemaField | undefined {
  if (format == null || format.type === "text") return undefined;
  if (format.type === "json_object") return { schema: { type: "object" }, param: "response_format" };
  const schema = format.json_schema.schema ?? { type: "object" };
  return { schema, param: "response_format.json_schema.schema" };
}

function toolUse(request: v.InferOutput<typeof fields>): ToolUse | undefined {
  const { tools, tool_choice: choice, parallel_tool_calls: parallel } = request;
  if (tools == null || tools.length === 0) {
    if (choice == null || choice === "none" || choice === "auto") return undefined;
    throw invalidRequest("tool_choice needs tools", "tool_choice");
  }
  const names = tools.map((one) => one.function.name);
  const twice = names.findIndex((one, index) => names.indexOf(one) !== index);
  if (twice >= 0) {
    throw invalidRequest(`there are two tools named "${names[twice]}"`, `tools[${twice}].function.name`);
  }
  const callable = tools.map((one, index) => ({
    name: one.function.name,
    parameters: {
      schema: one.function.parameters ?? { type: "object", properties: {}, additionalProperties: false },
      param: `tools[${index}].function.parameters`,
    },
  }));
  if (choice === "none") return undefined;
  if (typeof choice !== "object" || choice === null) {
    return { callable, mustCall: choice === "required", parallel };
  }
  const chosen = callable.filter((one) => one.name === choice.function.name);
  if (chosen.length > 0) return { callable: chosen, mustCall: true, parallel: false };
  throw invalidRequest(
    `there is no tool "${choice.function.name}"; there are ${names.join(", ")}`,
    "tool_choice.function.name",
  );
}
