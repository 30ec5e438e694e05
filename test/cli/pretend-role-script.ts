/**
 * A child process of `flowmesh up` for the tests: it keeps the protocol and does none of the work. The
 * gateway answers /health, and tells at /children who was started as what.
 */
import { runChild } from "../../actors/host/child-entry.ts";
import type { StageFacts } from "../../actors/host/unit.ts";
import type { RoleSpec, RunningRole } from "../../cli/role.ts";

class RefusedError extends Error {
  override readonly name = "RefusedError";
}

/** Names of the roles that behave badly, given by the test on the command line. */
const [mode] = process.argv.slice(2);

runChild(async (json): Promise<RunningRole> => {
  const spec = json as RoleSpec;
  if (mode === `refuse-${spec.role}`) throw new RefusedError("the kernels are missing");
  if (mode === `hang-${spec.role}`) await new Promise<never>(() => {});
  const keepAlive = setInterval(() => {}, 1_000);
  const stop = async () => {
    if (mode === "ignore-stop") await new Promise<never>(() => {});
    clearInterval(keepAlive);
  };
  if (spec.role === "stage") {
    const payload: StageFacts = { costs: [{ nodes: 1, ms: 1 }], kvTokens: 1000, arithmetic: "00000000" };
    return { payload, stop };
  }
  if (spec.role === "gateway") {
    const { host: hostname, port } = spec;
    const server = Bun.serve({ hostname, port, fetch: () => new Response("ok") });
    return { stop: () => server.stop(true).then(stop) };
  }
  return { stop };
});
