import { toJsonSchemaDefs } from "@valibot/to-json-schema";
import type * as v from "valibot";

export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * JSON Schemas (2020-12) of what the named schemas take, referring to each other below #/components/schemas. What no
 * keyword can say, such as checks between fields, is left out: it has to be in the descriptions.
 */
export function jsonSchemas<const Name extends string>(
  named: Readonly<Record<Name, v.GenericSchema>>,
): Readonly<Record<Name, JsonSchema>> {
  const all = toJsonSchemaDefs(named, {
    target: "draft-2020-12",
    typeMode: "input",
    ignoreActions: ["check"],
    overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
    overrideSchema({ valibotSchema, definitions, getterMap, referenceMap }) {
      if (valibotSchema.type !== "lazy") return undefined;
      // A lazy schema would become a definition of its own, with a number for a name.
      const { getter } = valibotSchema as v.LazySchema<v.GenericSchema>;
      const wrapped = getterMap.get(getter);
      return definitions[(wrapped && referenceMap.get(wrapped)) ?? ""];
    },
  });
  const wanted = (Object.keys(named) as Name[]).map((name) => [name, all[name]]);
  return Object.fromEntries(wanted);
}
