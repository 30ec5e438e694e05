import { join } from "node:path";

/** Where downloads and compiled models are kept: FLOWMESH_HOME, else a folder in the user's cache. */
export function defaultCacheRoot(env: Readonly<Record<string, string | undefined>>): string {
  if (env.FLOWMESH_HOME) return env.FLOWMESH_HOME;
  return join(env.XDG_CACHE_HOME || join(env.HOME || "/tmp", ".cache"), "flowmesh");
}
