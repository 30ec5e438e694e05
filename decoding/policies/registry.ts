import { autoregressive } from "./autoregressive.ts";
import { flowspec, flowspecUnexpanded, flowspecUnpruned, flowspecUnsorted } from "./flowspec.ts";
import { fullflow } from "./fullflow.ts";
import { naive } from "./naive.ts";
import { pipedec } from "./pipedec.ts";
import type { Policy, PolicyDefinition, PolicySetting } from "./policy.ts";
import { pruned } from "./pruned.ts";
import { survey } from "./survey.ts";

/** Every policy that a request can name. To add one: its file, and its line here. */
const DEFINITIONS: readonly PolicyDefinition[] = [
  autoregressive,
  naive,
  pruned,
  pipedec,
  flowspec,
  flowspecUnsorted,
  flowspecUnpruned,
  flowspecUnexpanded,
  fullflow,
  survey,
];

export const POLICIES: ReadonlyMap<string, PolicyDefinition> = new Map(
  DEFINITIONS.map((definition) => [definition.name, definition]),
);

export const DEFAULT_POLICY = "fullflow";

/** A policy or a parameter of one that does not exist. The message says what there is. */
export class PolicyError extends Error {
  override readonly name = "PolicyError";
}

/** Makes the policy that `spec` names: `name` or `name:key=number,…`. Throws PolicyError. */
export function createPolicy(spec: string, setting: PolicySetting): Policy {
  const { definition, parameters } = parsePolicy(spec);
  return definition.create(parameters, setting);
}

/** Throws PolicyError. */
export function parsePolicy(spec: string): {
  definition: PolicyDefinition;
  parameters: Record<string, number>;
} {
  const [, name = "", rest] = /^([^:]*)(?::(.*))?$/.exec(spec) ?? [];
  const definition = POLICIES.get(name);
  if (definition === undefined) {
    throw new PolicyError(`unknown policy "${name}"; there are: ${[...POLICIES.keys()].join(", ")}`);
  }
  const parameters = { ...definition.parameters };
  for (const setting of rest?.split(",") ?? []) {
    const [, key = "", text = ""] = /^([^=]*)=?(.*)$/.exec(setting) ?? [];
    if (!Object.hasOwn(parameters, key)) {
      const known = Object.keys(parameters).join(", ") || "none";
      throw new PolicyError(`policy ${name} has no parameter "${key}"; there are: ${known}`);
    }
    parameters[key] = parseValue(definition, key, text);
  }
  return { definition, parameters };
}

function parseValue({ name, limits }: PolicyDefinition, key: string, text: string): number {
  const value = Number(text);
  const [least, greatest] = limits?.[key] ?? [0, Number.POSITIVE_INFINITY];
  const isWhole = limits?.[key] === undefined || Number.isInteger(value);
  if (text.trim() !== "" && Number.isFinite(value) && isWhole && value >= least && value <= greatest) {
    return value;
  }
  const right = limits?.[key] ? `a whole number from ${least} to ${greatest}` : "a number from 0";
  throw new PolicyError(`parameter "${key}" of policy ${name} is "${text}"; it must be ${right}`);
}
