import { POLICIES } from "../../../decoding/policies/registry.ts";

/** Every policy that there is, as users name it, with those of `parameters` that it has. */
export function everyPolicy(parameters: Readonly<Record<string, number>>): string[] {
  return [...POLICIES.values()].map((definition) => {
    const own = Object.keys(parameters).filter((key) => Object.hasOwn(definition.parameters, key));
    const settings = own.map((key) => `${key}=${parameters[key]}`).join(",");
    return settings === "" ? definition.name : `${definition.name}:${settings}`;
  });
}
