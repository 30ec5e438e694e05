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
  const possible = v.union(Object.values(forms).filter(({ type }) => type !== "never"));
  const choose = (input: unknown) => (input === undefined ? possible : forms[pick(input)]);
  return v.lazy((input) => choose(input) as Of[keyof Of]);
}
