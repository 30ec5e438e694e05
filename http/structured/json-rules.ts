import { literal } from "./ebnf.ts";

/** Name of the rule for any JSON value. */
export const ANY_VALUE = "any";
/** Name of the rule for an object with any names and values. */
export const ANY_OBJECT = "object";
/** Name of the rule for an array of anything. */
export const ANY_ARRAY = "array";

/**
 * JSON as answers have it: on one line, with ", " and ": " between things as most JSON in training data is,
 * so that no model loses itself in white space. Numbers are such that a double holds what is written well
 * enough to be finite, and a \u escape is no half of a surrogate pair, so that a string's length is the
 * number of its `char`s.
 */
export const JSON_RULES: Readonly<Record<string, string>> = {
  any: `object | array | string | number | boolean | null`,
  object: `"{" (member (", " member)*)? "}"`,
  member: `string ": " any`,
  array: `"[" (any (", " any)*)? "]"`,
  string: String.raw`"\"" char* "\""`,
  char: String.raw`[^"\\\x00-\x1f] | "\\" escape`,
  escape: String.raw`["\\/bfnrt] | "u" ([0-9a-cA-CeEfF] hex hex hex | [dD] [0-7] hex hex)`,
  hex: `[0-9a-fA-F]`,
  integer: `"-"? digits`,
  digits: `"0" | [1-9] [0-9]{0,14}`,
  fraction: `"." [0-9]{0,5} [1-9]`,
  number: `"-"? digits ("." [0-9]{1,15})? ([eE] [+\\-]? [0-9]{1,2})?`,
  boolean: `"true" | "false"`,
  null: `"null"`,
};

/** A JSON value in the one form that the rules above allow. */
export function jsonLiteral(value: unknown): string {
  return literal(spaced(value));
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${spaced(one)}`);
  return `{${members.join(", ")}}`;
}

const DIGIT = "[0-9]";

/** Dates are such that each of them exists: February has 28 days here. */
const date = () =>
  `${DIGIT}{4} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] ${DIGIT} | "3" [01]) | ` +
  `("0" [469] | "11") "-" ("0" [1-9] | [12] ${DIGIT} | "30") | "02-" ("0" [1-9] | "1" ${DIGIT} | "2" [0-8]))`;
const time = () =>
  `([01] ${DIGIT} | "2" [0-3]) ":" [0-5] ${DIGIT} ":" [0-5] ${DIGIT} ("." ${DIGIT}{1,6})? ` +
  `("Z" | [+\\-] ([01] ${DIGIT} | "2" [0-3]) ":" [0-5] ${DIGIT})`;
const octet = `("25" [0-5] | "2" [0-4] ${DIGIT} | "1" ${DIGIT} ${DIGIT} | [1-9] ${DIGIT} | ${DIGIT})`;
const name = "[a-z0-9] [a-z0-9]{0,30}";

/** EBNF between the quotes of a string with such a `format`. */
export const FORMATS: Readonly<Record<string, string>> = {
  date: date(),
  time: time(),
  "date-time": `${date()} "T" ${time()}`,
  uuid: `hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}`,
  ipv4: `${octet} "." ${octet} "." ${octet} "." ${octet}`,
  email: `${name} ("." ${name})* "@" ${name} ("." ${name})* "." [a-z]{2,10}`,
  uri: `("https" | "http") "://" ${name} ("." ${name})* ("/" [a-zA-Z0-9_.~\\-]*)*`,
};
