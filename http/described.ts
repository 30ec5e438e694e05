import * as v from "valibot";

/** The schema with what it means, for GET /openapi.json. */
export const described = <const Schema extends v.GenericSchema>(schema: Schema, description: string) =>
  v.pipe(schema, v.description(description));

type Forms = Readonly<Record<string, v.GenericSchema>>;

/**
 * One of several forms, told apart by a look at the input: unlike `v.union`, what is wrong is said in terms of that
 * form. Who wants to know the forms without an input, to describe them, gets a union of them: JSON has no undefined.
 */
export function oneForm<const Of extends Forms>(
  forms: Of,
  pick: (input: unknown) => keyof Of,
): v.LazySchema<Of[keyof Of]> {
  const possible = Object.values(forms).filter(({ type }) => type !== "never");
  const any = possible.length === 1 ? possible[0] : v.union(possible);
  const choose = (input: unknown) => (input === undefined ? any : forms[pick(input)]);
  return v.lazy((input) => choose(input) as Of[keyof Of]);
}

/** Of this form, and no array: to valibot, an array is an object, too. */
export const noArray = <const Schema extends v.GenericSchema>(
  schema: Schema,
  message = "It must be an object",
) =>
  oneForm({ object: schema, list: v.never(message) }, (input) => (Array.isArray(input) ? "list" : "object"));
