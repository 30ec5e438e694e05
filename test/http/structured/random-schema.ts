/** A random JSON schema of the subset that answers can be held to; `random` gives numbers from 0 to 1. */
export function randomSchema(random: () => number, depth = 0): Record<string, unknown> {
  const draw = (bound: number) => Math.floor(random() * bound);
  const inner = () => randomSchema(random, depth + 1);
  const leaves: (() => Record<string, unknown>)[] = [
    () => ({ type: "string", minLength: draw(3), maxLength: 3 + draw(4) }),
    () => ({ type: "string", format: ["date", "time", "date-time", "uuid", "ipv4"][draw(5)] }),
    () => ({ type: "string", pattern: ["^[^\\d]{1,3}$", "^(a|\\\\b){2}\\w?$", "^\\s\\S$", "x"][draw(4)] }),
    () => ({ type: "integer", minimum: draw(300) - 250, maximum: 50 + draw(5000) }),
    () => ({ type: "integer", exclusiveMaximum: draw(20_000) - 10_000 }),
    () => ({ type: "number", exclusiveMinimum: draw(40) - 20, exclusiveMaximum: 21 + draw(20) }),
    () => ({ type: "number" }),
    () => ({ type: ["boolean", "null"] }),
    () => ({ enum: ["a", 'quo"te', "é\n\u{1f600}", 12, -0.5, null, true, { k: [1, "x"] }].slice(draw(7)) }),
    () => ({ const: ["x", draw(1000)] }),
  ];
  const branches: (() => Record<string, unknown>)[] = [
    () => {
      const names = ["id", "n a m e", 'q"', "ü😀", "last"].slice(draw(4));
      const properties = Object.fromEntries(names.map((name) => [name, inner()]));
      const required = names.filter(() => draw(2) === 0);
      return { type: "object", properties, required, additionalProperties: false };
    },
    () => ({ type: "array", items: inner(), minItems: draw(3), maxItems: 2 + draw(2) }),
    () => ({ type: "array", prefixItems: [inner(), inner()], items: false, minItems: draw(3) }),
    () => ({ anyOf: [inner(), inner()] }),
    () => ({ type: "object", additionalProperties: inner() }),
  ];
  const choices = depth === 0 ? branches : depth < 3 ? [...leaves, ...branches] : leaves;
  return choices[draw(choices.length)]?.() ?? { type: "null" };
}
