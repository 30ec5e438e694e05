import { hostname } from "node:os";
import { roleUser } from "../transport/permissions.ts";
import type { NatsAccess } from "./role.ts";
import type { UpOptions } from "./up-options.ts";

const WILDCARDS: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" };

/** Where the HTTP API is reached from this machine. */
export function apiUrl({ host, port, tlsCert }: Pick<UpOptions, "host" | "port" | "tlsCert">): string {
  const address = WILDCARDS[host] ?? (host.includes(":") ? `[${host}]` : host);
  return `${tlsCert === undefined ? "http" : "https"}://${address}:${port}`;
}

/** What a person needs once everything runs. */
export function announce(options: UpOptions, stages: number, modelId: string, nats: NatsAccess): string {
  const url = apiUrl(options);
  const body = JSON.stringify({
    model: modelId,
    messages: [{ role: "user", content: "What is a pipeline?" }],
  });
  const open =
    options.open === true ? "\nThe API asks for no key: whoever reaches this machine can use it.\n" : "";
  const state =
    stages === 0
      ? `flowmesh waits for hosts: ${modelId}, policy ${options.policy}`
      : `flowmesh is ready: ${modelId} in ${stages} ${stages === 1 ? "stage" : "stages"}, policy ${options.policy}`;
  const mesh = options.mesh === "home" ? "" : ` --mesh ${options.mesh}`;
  const token = nats.token === undefined ? "" : ` --token ${nats.token}`;
  const joining = reachableUrl(options, nats.url);
  return `
${state}

  Page     ${url}/
  API      ${url}/v1
  Try it   curl ${url}/v1/chat/completions -H 'content-type: application/json' \\
             -d '${body}'
  Metrics  ${url}/metrics
  NATS     ${nats.url}
  Watch    nats sub -s ${watchUrl(nats)} 'flow.${options.mesh}.session.*.commit'
  Join     flowmesh node --nats ${joining}${token}${mesh}
${open}
Press Ctrl-C to stop.`;
}

/** For who only looks; without a token, who names no user may look too. */
function watchUrl({ url, token }: NatsAccess): string {
  if (token === undefined) return url;
  const { user, pass } = roleUser("observer", token);
  return url.replace("://", `://${user}:${pass}@`);
}

/** As other machines reach it, when it listens for them. */
function reachableUrl({ natsHost }: Pick<UpOptions, "natsHost">, url: string): string {
  if (natsHost === undefined || !(natsHost in WILDCARDS)) return url;
  return url.replace("127.0.0.1", hostname());
}
