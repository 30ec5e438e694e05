import { join } from "node:path";

/** Largest message that the server takes, in bytes: NATS's own default, which every frame stays below. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

export interface NatsServerConfig {
  readonly serverName: string;
  readonly host: string;
  /** 0 lets the server choose a free one and write it to a ports file. */
  readonly port: number;
  /** What clients must give; absent: nothing. */
  readonly token?: string;
  /** Absolute path of a folder of this server's own. */
  readonly folder: string;
}

/** The server's configuration file. */
export function renderNatsConfig(config: NatsServerConfig): string {
  const quote = JSON.stringify;
  const authorization = config.token === undefined ? "" : `authorization { token: ${quote(config.token)} }\n`;
  return `# Written at each start; edits are lost.
server_name: ${quote(config.serverName)}
host: ${quote(config.host)}
port: ${config.port === 0 ? -1 : config.port}
ports_file_dir: ${quote(config.folder)}
max_payload: ${MAX_PAYLOAD_BYTES}
${authorization}
jetstream {
  max_memory_store: 256MB
  store_dir: ${quote(join(config.folder, "jetstream"))}
}
`;
}
