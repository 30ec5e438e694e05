import { readSettings } from "../../cli/settings.ts";
import { provideNatsServer } from "../../models/provision/nats-server.ts";
import { measureMeshCost } from "./mesh-cost.ts";
import { renderMeshCost } from "./mesh-cost-table.ts";

/** `flowmesh bench --hops`: what passing segments on costs, as Markdown on the standard output. */
export async function benchHops(): Promise<void> {
  const { path } = await provideNatsServer({ cacheRoot: readSettings().cache });
  process.stderr.write("measuring hops, on one machine and across a cable; takes about a minute\n");
  console.log(renderMeshCost(await measureMeshCost(path)));
}
