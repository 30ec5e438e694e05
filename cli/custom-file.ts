import { join } from "node:path";
import { plugin } from "bun";
import * as v from "valibot";
import type { ActorDefinition } from "../actors/runtime/actor.ts";
import type { Drafter } from "../custom/drafter.ts";

/** A user's own file can't be run; the message says why. */
export class RunError extends Error {
  override readonly name = "RunError";
}

const PUBLIC_MODULE = join(import.meta.dir, "../custom/flowmesh.ts");

const named = { name: v.string(), description: v.string(), start: v.function() };
const customSchema = v.union([v.object({ ...named, kind: v.literal("drafter") }), v.object(named)]);

/**
 * The default export of a user's file, which may import "flowmesh" from wherever it lies.
 * @throws {RunError}
 */
export async function loadCustom(path: string): Promise<ActorDefinition | Drafter> {
  plugin({
    name: "flowmesh",
    setup(build) {
      build.module("flowmesh", async () => ({ exports: await import(PUBLIC_MODULE), loader: "object" }));
    },
  });
  let loaded: { default?: unknown };
  try {
    loaded = await import(path);
  } catch (error) {
    throw new RunError(`${path} can't be loaded: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
  if (v.is(customSchema, loaded.default)) return loaded.default as unknown as ActorDefinition | Drafter;
  throw new RunError(
    `${path} has no default export that can be run; it must be what defineActor or defineDrafter gives ` +
      '(import { defineDrafter } from "flowmesh").',
  );
}
