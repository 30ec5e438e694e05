import { isSchema, type Schema } from "./schema-object.ts";

/** References are followed no further than this. */
const DEPTH_MAX = 20;

/**
 * Two schemas of a list, by their places, that one value may fit; undefined when each pair is known to have none in
 * common: by their types, by the values that they list, or by a property that both require and that does so.
 * `target`: what a reference names.
 */
export function overlapping(
  schemas: readonly unknown[],
  target: (pointer: string) => unknown,
): readonly [number, number] | undefined {
  const resolved = schemas.map((one) => resolve(one, target));
  for (let second = 1; second < resolved.length; second++) {
    const first = resolved.slice(0, second).findIndex((one) => !areApart(one, resolved[second], target));
    if (first >= 0) return [first, second];
  }
  return undefined;
}

function resolve(schema: unknown, target: (pointer: string) => unknown): unknown {
  let one = schema;
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    if (!isSchema(one) || typeof one.$ref !== "string") return one;
    one = target(one.$ref);
  }
  return undefined;
}

function areApart(a: unknown, b: unknown, target: (pointer: string) => unknown, depth = 0): boolean {
  if (!isSchema(a) || !isSchema(b) || depth > DEPTH_MAX) return false;
  const [types, others] = [typesOf(a), typesOf(b)];
  if (types === undefined || others === undefined) return false;
  const common = types.filter((one) => others.includes(one));
  if (common.length === 0) return true;
  const [values, otherValues] = [valuesOf(a), valuesOf(b)];
  if (values !== undefined && otherValues !== undefined) {
    // Lists and objects would have to be compared by what is in them.
    const isSimple = [...values, ...otherValues].every((one) => typeof one !== "object" || one === null);
    return isSimple && !values.some((one) => otherValues.includes(one));
  }
  if (common.length > 1 || common[0] !== "object") return false;
  const [properties, otherProperties] = [a.properties, b.properties];
  if (!isSchema(properties) || !isSchema(otherProperties)) return false;
  const shared = requiredOf(a).filter((name) => requiredOf(b).includes(name));
  return shared.some(
    (name) =>
      Object.hasOwn(properties, name) &&
      Object.hasOwn(otherProperties, name) &&
      areApart(resolve(properties[name], target), resolve(otherProperties[name], target), target, depth + 1),
  );
}

/** Undefined: it may be of any type. Whole numbers are numbers. */
function typesOf(schema: Schema): readonly string[] | undefined {
  const named = schema.type === undefined ? valuesOf(schema)?.map(typeOf) : [schema.type].flat();
  return named?.map((type) => (type === "integer" ? "number" : String(type)));
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if (Object.hasOwn(schema, "const")) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : undefined;
}

function requiredOf({ required }: Schema): readonly string[] {
  return Array.isArray(required) ? required.filter((name) => typeof name === "string") : [];
}
