import type { LinkModel } from "../transport/link-model.ts";

/** `flowmesh node`, as asked for on the command line. */
export interface NodeOptions {
  /** Address of the mesh's nats-server. */
  readonly nats: string;
  readonly token?: string;
  /** Path of a NATS credentials file. */
  readonly creds?: string;
  readonly mesh: string;
  /** Absent: the machine's, with a number behind it when that is taken. */
  readonly name?: string;
  /** Bytes; absent: half of the machine's. */
  readonly memory?: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: the machine's cores. */
  readonly threads?: number;
  readonly device?: string;
  readonly link?: LinkModel;
  readonly reportWork: boolean;
}
