import { GRAMMAR_LENGTH_MAX } from "../../decoding/token-mask.ts";
import { invalidRequest } from "../errors.ts";
import { SchemaError } from "./schema-error.ts";
import { type SchemaField, schemaGrammar } from "./schema-grammar.ts";
import { CALL_END, CALL_START, callStart, type ToolUse } from "./tool-use.ts";

/**
 * The grammar of an answer as a structural tag of xgrammar; undefined: anything will do. With tools, the answer is
 * calls or what it would be without: a call may also follow free text. Throws ApiError 400 for a schema outside
 * the supported subset, naming the keyword.
 */
export function answerGrammar(
  format: SchemaField | undefined,
  tools: ToolUse | undefined,
): string | undefined {
  const grammar = structuralTag(format, tools);
  if (grammar === undefined) return undefined;
  const text = JSON.stringify({ type: "structural_tag", format: grammar });
  if (text.length <= GRAMMAR_LENGTH_MAX) return text;
  throw invalidRequest(
    `the schemas are too large: their grammar has ${text.length} characters, and at most ${GRAMMAR_LENGTH_MAX} are possible`,
    tools === undefined ? format?.param : "tools",
  );
}

function structuralTag(format: SchemaField | undefined, tools: ToolUse | undefined): object | undefined {
  const json = format && grammarOf(format);
  if (tools === undefined) return json === undefined ? undefined : { type: "grammar", grammar: json };
  const tags = tools.callable.map(({ name, parameters }) => ({
    type: "tag",
    begin: callStart(name),
    content: { type: "grammar", grammar: grammarOf(parameters) },
    end: CALL_END,
  }));
  const stop_after_first = !tools.parallel;
  if (tools.mustCall) {
    return { type: "tags_with_separator", tags, separator: "\n", at_least_one: true, stop_after_first };
  }
  return { type: "triggered_tags", triggers: [CALL_START], tags, stop_after_first };
}

function grammarOf({ schema, param }: SchemaField): string {
  try {
    return schemaGrammar(schema);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw invalidRequest(`${param}${error.path}: ${error.message}`, `${param}${error.path}`);
  }
}
