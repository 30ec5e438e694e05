import { defaultCacheRoot } from "../cli/cache-root.ts";
import { provideNatsServer } from "../models/provision/nats-server.ts";

/** The nats-server that the product would use; fetched into the cache when there is none. */
export async function natsServerPath(): Promise<string> {
  return (await provideNatsServer({ cacheRoot: defaultCacheRoot(process.env) })).path;
}
