import { oneOf } from "./ebnf.ts";
import { SchemaError } from "./schema-error.ts";
import type { Schema } from "./schema-object.ts";
import { DIGITS_MAX, naturals, wholeNumbers } from "./whole-numbers.ts";

/** EBNF of numbers within the bounds of the schema. Throws SchemaError; `path`: where the schema is. */
export function numberExpression(type: "integer" | "number", schema: Schema, path: string): string {
  const bound = (keyword: string, absent: number): number => {
    const value = schema[keyword];
    if (value === undefined) return absent;
    if (typeof value !== "number" || !Number.isFinite(value))
      throw new SchemaError(`${path}.${keyword}`, "it must be a number");
    if (type === "number" && !Number.isInteger(value))
      throw new SchemaError(`${path}.${keyword}`, "bounds of numbers must be whole");
    return value;
  };
  const least = Math.ceil(bound("minimum", -Infinity));
  const above = Math.floor(bound("exclusiveMinimum", -Infinity));
  const greatest = Math.floor(bound("maximum", Infinity));
  const below = Math.ceil(bound("exclusiveMaximum", Infinity));
  // Of integers and bounds of numbers alike, as the latter are whole.
  const low = Math.max(least, above + 1);
  const high = Math.min(greatest, below - 1);
  if (low === -Infinity && high === Infinity) return type;
  const choices = [wholeNumbers(low, high)];
  if (type === "number") choices.push(...fractions(Math.max(least, above), Math.min(greatest, below)));
  const possible = choices.filter((one) => one !== undefined);
  if (possible.length === 0)
    throw new SchemaError(path, `no ${type} of at most ${DIGITS_MAX} digits lies within these bounds`);
  return oneOf(possible);
}

/** With larger whole parts, a double may round what is written up to the next whole number. */
const WHOLE_PART_MAX = 999_999_999;

/** What lies strictly between two neighbouring whole numbers of the range. */
function fractions(low: number, high: number): (string | undefined)[] {
  const positive = naturals(Math.max(0, low), Math.min(high - 1, WHOLE_PART_MAX));
  const negative = naturals(Math.max(0, -high), Math.min(-low - 1, WHOLE_PART_MAX));
  return [positive && `${positive} fraction`, negative && `"-" ${negative} fraction`];
}
