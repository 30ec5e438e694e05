import { join } from "node:path";
import { PERMISSIONS, ROLES, type Role, roleUser } from "../../transport/permissions.ts";

/** Largest message that the server takes, in bytes: NATS's own default, which every frame stays below. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

export interface NatsServerConfig {
  readonly serverName: string;
  readonly host: string;
  /** 0 lets the server choose a free one and write it to a ports file. */
  readonly port: number;
  /** What members must give; absent: nothing, and who gives nothing is a member. */
  readonly token?: string;
  /** Absolute path of a folder of this server's own. */
  readonly folder: string;
}

/** The server's configuration file. */
export function renderNatsConfig(config: NatsServerConfig): string {
  const quote = JSON.stringify;
  return `# Written at each start; edits are lost.
server_name: ${quote(config.serverName)}
host: ${quote(config.host)}
port: ${config.port === 0 ? -1 : config.port}
ports_file_dir: ${quote(config.folder)}
max_payload: ${MAX_PAYLOAD_BYTES}
${authorization(config.token)}
jetstream {
  max_memory_store: 256MB
  store_dir: ${quote(join(config.folder, "jetstream"))}
}
`;
}

/**
 * A question may be answered by whoever may hear it, for as long as draining a host may take: once by each of a
 * process's actors, of which a tree host has one a session.
 */
const ANSWERS = `{ max: 512, expires: "10m" }`;

function authorization(token: string | undefined): string {
  const users = ROLES.map((role) => userOf(role, token)).join("\n");
  const open = token === undefined ? `no_auth_user: member\n` : "";
  return `${open}authorization {\n  users: [\n${users}\n  ]\n}\n`;
}

function userOf(role: Role, token: string | undefined): string {
  const { user, pass } = roleUser(role, token);
  // The least cost: passwords are 256 bits of a hash, which nobody guesses. Without a token they are no secret,
  // and the server does not let a user in by `no_auth_user` whose password is hashed.
  const hash = token === undefined ? pass : Bun.password.hashSync(pass, { algorithm: "bcrypt", cost: 4 });
  const { publish, publishNever = [], subscribe } = PERMISSIONS[role];
  const answers = role === "observer" ? {} : { allow_responses: "ANSWERS" };
  const permissions = {
    publish: { allow: publish, ...(publishNever.length > 0 && { deny: publishNever }) },
    subscribe: { allow: subscribe },
    ...answers,
  };
  const text = JSON.stringify(permissions).replace('"ANSWERS"', ANSWERS);
  return `    { user: ${JSON.stringify(user)}, password: ${JSON.stringify(hash)}, permissions: ${text} }`;
}
