import { defaultCacheRoot } from "../cli/cache-root.ts";
import { provideModel } from "../models/provision/model.ts";
import { DEFAULT_MODEL } from "../models/provision/model-catalogue.ts";

/** Path of the default model in the user's ordinary cache; the first test that needs it fetches it. */
export async function defaultModelPath(): Promise<string> {
  const { path } = await provideModel(DEFAULT_MODEL, { cacheRoot: defaultCacheRoot(process.env) });
  return path;
}
