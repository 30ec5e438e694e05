import { literal, oneOf, times } from "./ebnf.ts";
import { ANY_ARRAY, ANY_OBJECT, ANY_VALUE, FORMATS, JSON_RULES, jsonLiteral } from "./json-rules.ts";
import { numberExpression } from "./number-expression.ts";
import { overlapping } from "./overlap.ts";
import { PatternError, patternGrammar } from "./pattern.ts";
import { SchemaError } from "./schema-error.ts";
import { isSchema, type Schema } from "./schema-object.ts";

/** A JSON schema of a request, and the field that it came in. */
export interface SchemaField {
  readonly schema: unknown;
  readonly param: string;
}

/** They say nothing about which values fit. */
const ANNOTATIONS: ReadonlySet<string> = new Set(
  "$schema $id $comment $defs definitions title description default example examples deprecated readOnly writeOnly discriminator".split(
    " ",
  ),
);

const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "propertyNames"],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  string: ["minLength", "maxLength", "format", "pattern"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
};

/** Each of them stands alone in its schema. */
const COMBINED = ["$ref", "anyOf", "oneOf", "allOf", "const", "enum"] as const;

const SUPPORTED: ReadonlySet<string> = new Set(["type", ...COMBINED, ...Object.values(KEYWORDS).flat()]);

/** Counts beyond this make grammars that take long to compile. */
const COUNT_MAX = 1000;
const DEPTH_MAX = 200;
const ENUM_MAX = 500;

/**
 * An EBNF grammar, whose first rule is `root`, of JSON values that fit the schema, each on one line and with its
 * properties in the schema's order. What the grammar allows always fits the schema; of what fits, it leaves out
 * properties that the schema does not name where it names some. A keyword outside the subset is a SchemaError,
 * never ignored.
 */
export function schemaGrammar(schema: unknown): string {
  const compiler = new SchemaCompiler(schema);
  return compiler.grammar();
}

class SchemaCompiler {
  readonly #root: unknown;
  readonly #rules = new Map<string, string>();
  /** [body] their names */
  readonly #sharedRules = new Map<string, string>();
  /** Rule names of what `$ref` names. */
  readonly #refs = new Map<string, string>();
  /** References that are being followed with nothing written since. */
  readonly #unguarded = new Set<string>();
  readonly #finite = new Set<string>();
  #nextRule = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  grammar(): string {
    const root = this.#expression(this.#root, "", 0);
    if (!this.#hasFiniteValue()) {
      throw new SchemaError("", "no finite value fits: it needs itself inside itself");
    }
    const rules = { root, ...Object.fromEntries(this.#rules), ...JSON_RULES };
    return Object.entries(rules)
      .map(([name, body]) => `${name} ::= ${body}\n`)
      .join("");
  }

  #rule(body: string): string {
    const name = `r${this.#nextRule++}`;
    this.#rules.set(name, body);
    return name;
  }

  /** One rule for all that have this body. */
  #shared(body: string): string {
    const name = this.#sharedRules.get(body) ?? this.#rule(body);
    this.#sharedRules.set(body, name);
    return name;
  }

  #expression(value: unknown, path: string, depth: number): string {
    if (depth > DEPTH_MAX) throw new SchemaError(path, `it is nested more than ${DEPTH_MAX} levels deep`);
    if (value === true) return ANY_VALUE;
    if (!isSchema(value)) throw new SchemaError(path, "a schema must be an object or true");
    const keys = Object.keys(value).filter((key) => value[key] !== undefined && !ANNOTATIONS.has(key));
    if (keys.length === 0) return ANY_VALUE;
    const unknown = keys.find((key) => !SUPPORTED.has(key));
    if (unknown !== undefined) throw new SchemaError(`${path}.${unknown}`, `${unknown} is not supported`);
    for (const combined of COMBINED) {
      if (!keys.includes(combined)) continue;
      const isList = combined === "const" || combined === "enum";
      const other = keys.find((key) => key !== combined && !(isList && key === "type"));
      if (other !== undefined)
        throw new SchemaError(`${path}.${other}`, `${other} is not supported beside ${combined}`);
      return this.#combined(combined, value, path, depth);
    }
    return this.#typed(value, keys, path, depth);
  }

  #combined(kind: string, schema: Schema, path: string, depth: number): string {
    if (kind === "$ref") return this.#reference(schema.$ref, `${path}.$ref`, depth);
    if (kind === "const") return this.#values([schema.const], schema, path);
    if (kind === "enum") return this.#values(schema.enum, schema, path);
    const parts = schema[kind];
    if (!Array.isArray(parts) || parts.length === 0)
      throw new SchemaError(`${path}.${kind}`, "it must be a list of schemas");
    if (kind === "allOf" && parts.length > 1)
      throw new SchemaError(`${path}.allOf`, "allOf with more than one schema is not supported");
    if (kind === "oneOf") {
      const both = overlapping(parts, (pointer) => targetOf(this.#root, pointer));
      if (both !== undefined) {
        throw new SchemaError(
          `${path}.oneOf`,
          `oneOf is supported where no value can fit two of its schemas, by their types or by a required property with a const or enum; ${both[0]} and ${both[1]} may have one in common`,
        );
      }
    }
    return oneOf(parts.map((part, index) => this.#expression(part, `${path}.${kind}[${index}]`, depth + 1)));
  }

  #values(values: unknown, { type }: Schema, path: string): string {
    if (!Array.isArray(values) || values.length === 0 || values.length > ENUM_MAX) {
      throw new SchemaError(`${path}.enum`, `it must be a list of 1 to ${ENUM_MAX} values`);
    }
    const types = type === undefined ? undefined : typesOf(type, path);
    const fitting = values.filter((value) => types === undefined || types.some((one) => isOf(value, one)));
    if (fitting.length === 0) throw new SchemaError(path, "none of the values has the type");
    return oneOf(fitting.map(jsonLiteral));
  }

  #reference(pointer: unknown, path: string, depth: number): string {
    if (typeof pointer !== "string" || !/^#(?:$|\/)/.test(pointer))
      throw new SchemaError(path, 'only references within the schema are supported, as "#/$defs/name"');
    if (this.#unguarded.has(pointer)) throw new SchemaError(path, "it refers to itself and nothing else");
    const known = this.#refs.get(pointer);
    if (known !== undefined) return known;
    const name = `r${this.#nextRule++}`;
    this.#refs.set(pointer, name);
    this.#unguarded.add(pointer);
    const target = targetOf(this.#root, pointer);
    if (target === undefined) throw new SchemaError(path, `there is nothing at ${pointer}`);
    this.#rules.set(name, this.#expression(target, path, depth + 1));
    this.#unguarded.delete(pointer);
    return name;
  }

  #typed(schema: Schema, keys: readonly string[], path: string, depth: number): string {
    const types = schema.type === undefined ? impliedTypes(keys) : typesOf(schema.type, path);
    return oneOf(types.map((type) => this.#ofType(type, schema, path, depth)));
  }

  #ofType(type: string, schema: Schema, path: string, depth: number): string {
    if (type === "boolean" || type === "null") return type;
    if (type === "string") return stringExpression(schema, path, (body) => this.#shared(body));
    if (type === "integer" || type === "number") return numberExpression(type, schema, path);
    // From here on something is written before anything inside.
    const outer = [...this.#unguarded];
    this.#unguarded.clear();
    const body =
      type === "array" ? this.#array(schema, path, depth + 1) : this.#object(schema, path, depth + 1);
    for (const pointer of outer) this.#unguarded.add(pointer);
    return body;
  }

  #array(schema: Schema, path: string, depth: number): string {
    const { items, prefixItems = [], uniqueItems } = schema;
    if (uniqueItems !== undefined && uniqueItems !== false)
      throw new SchemaError(`${path}.uniqueItems`, "uniqueItems is not supported");
    if (!Array.isArray(prefixItems))
      throw new SchemaError(`${path}.prefixItems`, "it must be a list of schemas");
    const [least, greatest] = countsOf(schema, "minItems", "maxItems", path);
    if (items === undefined && prefixItems.length === 0 && least === 0 && greatest === Infinity)
      return ANY_ARRAY;
    const first = prefixItems.map((one, index) =>
      this.#rule(this.#expression(one, `${path}.prefixItems[${index}]`, depth)),
    );
    const rest =
      items === false ? undefined : this.#rule(this.#expression(items ?? true, `${path}.items`, depth));
    const choices: string[] = [];
    for (let count = least; count <= Math.min(greatest, first.length); count++) {
      choices.push(first.slice(0, count).join(' ", " '));
    }
    if (rest !== undefined && greatest > first.length) {
      const more = Math.max(1, least - first.length);
      const tail = `${rest} ${times(`", " ${rest}`, more - 1, greatest - first.length - 1)}`;
      choices.push([...first, tail].join(' ", " '));
    }
    if (choices.length === 0) throw new SchemaError(path, "no array has so many items");
    return `"[" ${oneOf(choices.map((one) => (one === "" ? '""' : one)))} "]"`;
  }

  #object(schema: Schema, path: string, depth: number): string {
    const { properties = {}, additionalProperties = true, propertyNames } = schema;
    if (!isSchema(properties)) throw new SchemaError(`${path}.properties`, "it must be an object");
    if (propertyNames !== undefined && JSON.stringify(propertyNames) !== '{"type":"string"}')
      throw new SchemaError(`${path}.propertyNames`, "propertyNames is not supported");
    const required = namesOf(schema.required, `${path}.required`);
    const others = additionalProperties === false ? undefined : additionalProperties;
    const names = [...Object.keys(properties), ...required.filter((one) => !Object.hasOwn(properties, one))];
    if (names.length === 0) {
      if (others === undefined) return '"{}"';
      if (others === true) return ANY_OBJECT;
      const value = this.#rule(this.#expression(others, `${path}.additionalProperties`, depth));
      const member = `string ": " ${value}`;
      return `"{" (${member} (", " ${member})*)? "}"`;
    }
    const members = names.map((name) => {
      const own = Object.hasOwn(properties, name) ? properties[name] : others;
      if (own === undefined)
        throw new SchemaError(
          `${path}.required`,
          `"${name}" is required, and no property may have that name`,
        );
      const value = this.#expression(own, `${path}.properties.${name}`, depth);
      return {
        expression: `${literal(`${JSON.stringify(name)}: `)} ${value}`,
        isNeeded: required.includes(name),
      };
    });
    return `"{" ${this.#members(members)} "}"`;
  }

  /** Commas stand between those that are there: `later` is what may follow one, `first` what follows none. */
  #members(members: readonly { readonly expression: string; readonly isNeeded: boolean }[]): string {
    let first = '""';
    let later = '""';
    for (const { expression, isNeeded } of members.toReversed()) {
      const member = this.#rule(expression);
      const begun = `${member} ${later}`;
      const follows = `", " ${begun}`;
      first = this.#rule(isNeeded ? begun : `${begun} | ${first}`);
      later = this.#rule(isNeeded ? follows : `${follows} | ${later}`);
    }
    return first;
  }

  /** Whether a value that ends fits: found from below, as references that end let others end. */
  #hasFiniteValue(): boolean {
    let before = -1;
    while (before < this.#finite.size) {
      before = this.#finite.size;
      for (const pointer of this.#refs.keys()) {
        if (this.#ends(targetOf(this.#root, pointer))) this.#finite.add(pointer);
      }
    }
    return this.#ends(this.#root);
  }

  #ends(value: unknown): boolean {
    if (!isSchema(value)) return true;
    const {
      $ref: pointer,
      anyOf,
      oneOf: exclusive,
      allOf,
      properties,
      required,
      items,
      prefixItems,
      minItems = 0,
    } = value;
    if (typeof pointer === "string") return this.#finite.has(pointer);
    const ends = (one: unknown) => this.#ends(one);
    if (Array.isArray(anyOf)) return anyOf.some(ends);
    if (Array.isArray(exclusive)) return exclusive.some(ends);
    if (Array.isArray(allOf)) return allOf.every(ends);
    if (Array.isArray(value.type) && value.type.some((type) => type !== "object" && type !== "array"))
      return true;
    if (isSchema(properties)) {
      const needed = namesOf(required, "").filter((name) => Object.hasOwn(properties, name));
      if (!needed.every((name) => ends(properties[name]))) return false;
    }
    const first = Array.isArray(prefixItems) ? prefixItems.slice(0, Number(minItems)) : [];
    return first.every(ends) && (Number(minItems) <= first.length || ends(items));
  }
}

function typesOf(type: unknown, path: string): string[] {
  const types = Array.isArray(type) ? type : [type];
  const wrong = types.find((one) => typeof one !== "string" || !Object.hasOwn(KEYWORDS, one));
  if (types.length > 0 && wrong === undefined) return types;
  throw new SchemaError(`${path}.type`, `it must be one or several of ${Object.keys(KEYWORDS).join(", ")}`);
}

/** A schema without a type lets other types through; answers have the first one that its keywords speak of. */
function impliedTypes(keys: readonly string[]): string[] {
  const speaking = Object.keys(KEYWORDS).filter((type) => keys.some((key) => KEYWORDS[type]?.includes(key)));
  return speaking.slice(0, 1);
}

function isOf(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return isSchema(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

function namesOf(names: unknown, path: string): string[] {
  if (names === undefined) return [];
  if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  throw new SchemaError(path, "it must be a list of names");
}

function countsOf(schema: Schema, least: string, greatest: string, path: string): [number, number] {
  const one = (keyword: string, absent: number): number => {
    const value = schema[keyword];
    if (value === undefined) return absent;
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= COUNT_MAX) return Number(value);
    throw new SchemaError(`${path}.${keyword}`, `it must be a whole number from 0 to ${COUNT_MAX}`);
  };
  const range: [number, number] = [one(least, 0), one(greatest, Number.POSITIVE_INFINITY)];
  if (range[0] <= range[1]) return range;
  throw new SchemaError(`${path}.${least}`, `it is above ${greatest}`);
}

function stringExpression(schema: Schema, path: string, rule: (body: string) => string): string {
  const [least, greatest] = countsOf(schema, "minLength", "maxLength", path);
  const isFree = least === 0 && greatest === Number.POSITIVE_INFINITY;
  const { format, pattern: regex } = schema;
  if (regex !== undefined) {
    if (format !== undefined)
      throw new SchemaError(`${path}.format`, "format is not supported beside pattern");
    return patternExpression(regex, [least, greatest], path, rule);
  }
  if (format === undefined) return isFree ? "string" : `"\\"" ${times("char", least, greatest)} "\\""`;
  const pattern = typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (pattern === undefined) {
    throw new SchemaError(`${path}.format`, `supported formats are ${Object.keys(FORMATS).join(", ")}`);
  }
  if (isFree) return `"\\"" ${pattern} "\\""`;
  throw new SchemaError(`${path}.format`, "format is not supported beside minLength and maxLength");
}

function patternExpression(
  regex: unknown,
  [least, greatest]: readonly [number, number],
  path: string,
  rule: (body: string) => string,
): string {
  if (typeof regex !== "string") throw new SchemaError(`${path}.pattern`, "it must be a text");
  try {
    const part = patternGrammar(regex, rule);
    if (part.least < least || part.greatest > greatest) {
      const keyword = part.least < least ? "minLength" : "maxLength";
      throw new SchemaError(
        `${path}.${keyword}`,
        `${keyword} is not supported beside a pattern that lets through what it does not; say it in the pattern`,
      );
    }
    return `"\\"" ${part.ebnf} "\\""`;
  } catch (error) {
    if (error instanceof PatternError) throw new SchemaError(`${path}.pattern`, error.message);
    throw error;
  }
}

/** What a JSON pointer in a URI fragment names. */
function targetOf(root: unknown, pointer: string): unknown {
  let target = root;
  for (const part of pointer.split("/").slice(1)) {
    const name = unescaped(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof target !== "object" || target === null || !Object.hasOwn(target, name)) return undefined;
    target = (target as Schema)[name];
  }
  return target;
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // Not UTF-8: then it names nothing but itself.
    return part;
  }
}
