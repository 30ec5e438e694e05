import type { PreparedModel } from "./prepared-model.ts";
import type { UpOptions } from "./up-options.ts";

const WILDCARDS: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" };

/** Where the HTTP API is reached from this machine. */
export function apiUrl({ host, port }: Pick<UpOptions, "host" | "port">): string {
  const address = WILDCARDS[host] ?? (host.includes(":") ? `[${host}]` : host);
  return `http://${address}:${port}`;
}

/** What a person needs once everything runs. */
export function announce(options: UpOptions, model: PreparedModel, natsUrl: string): string {
  const url = apiUrl(options);
  const body = JSON.stringify({
    model: model.id,
    messages: [{ role: "user", content: "What is a pipeline?" }],
  });
  const open =
    options.host in WILDCARDS
      ? "\nThe API asks for no password: whoever reaches this machine can use it.\n"
      : "";
  return `
flowmesh is ready: ${model.id} in ${model.stages.length} ${model.stages.length === 1 ? "stage" : "stages"}, policy ${options.policy}

  Page     ${url}/
  API      ${url}/v1
  Try it   curl ${url}/v1/chat/completions -H 'content-type: application/json' \\
             -d '${body}'
  Metrics  ${url}/metrics
  NATS     ${natsUrl}
  Watch    nats sub -s ${natsUrl} 'flow.${options.mesh}.session.*.commit'
${open}
Press Ctrl-C to stop.`;
}
