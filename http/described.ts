import * as v from "valibot";

/** The schema with what it means, for GET /openapi.json. */
export const described = <const Schema extends v.GenericSchema>(schema: Schema, description: string) =>
  v.pipe(schema, v.description(description));

type Forms = Readonly<Record<string, v.GenericSchema>>;

/** A schema that has several forms, by names of no further meaning. */
export interface FormsSchema<Of extends Forms> extends v.LazySchema<Of[keyof Of]> {
  readonly forms: Of;
}

/**
 * One of several forms, told apart by a look at the input: unlike `v.union`, what is wrong is said in terms of that
 * form. Unlike `v.lazy` alone, it can be described without an input.
 */
export const oneForm = <const Of extends Forms>(
  forms: Of,
  pick: (input: unknown) => keyof Of,
): FormsSchema<Of> =>
  Object.assign(
    v.lazy((input) => forms[pick(input)] as Of[keyof Of]),
    { forms },
  );

/** The forms of such a schema; undefined for any other. */
export const formsOf = (schema: object): readonly v.GenericSchema[] | undefined =>
  "forms" in schema ? Object.values(schema.forms as Forms) : undefined;
