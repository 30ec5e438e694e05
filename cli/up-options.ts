import type { LayerPin } from "../actors/mesh/records.ts";
import type { Numerics } from "../models/stage-spec.ts";
import type { LinkModel } from "../transport/link-model.ts";
import type { DrafterName } from "./role.ts";

/** `flowmesh up`, as asked for on the command line; every value has passed its option's check. */
export interface UpOptions {
  /** 0: this machine runs none, and waits for others; auto: what is fastest here, by trial. */
  readonly stages: number | "auto";
  /** Name, path or URL; absent means the default model. */
  readonly model?: string;
  readonly port: number;
  readonly host: string;
  /** File of API keys; absent: the user's own, if there is one. */
  readonly keys?: string;
  /** Lets other machines use the API though there are no keys. */
  readonly open?: boolean;
  /** Origins of web pages that may use the API. */
  readonly cors?: readonly string[];
  /** PEM files; both or none. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Policy of requests that name none: `name` or `name:key=number,…`. */
  readonly policy: string;
  readonly numerics: Numerics;
  readonly drafter: DrafterName;
  /** Manifest of a draft head; absent: the one that comes along, if it was made for the model. */
  readonly draftHead?: string;
  /** Absent: 4222 when nobody listens there, else any free one. */
  readonly natsPort?: number;
  /** Address that nats-server listens on; default 127.0.0.1. */
  readonly natsHost?: string;
  /** What hosts and people must give to nats-server. */
  readonly natsToken?: string;
  /** What other members call this machine; default: its host name. */
  readonly name?: string;
  /** Requests at once that the placement is made for at least. */
  readonly sessions: number;
  /** Sessions at once that the gateway lets in. */
  readonly maxSessions: number;
  /** Requests that may wait until one of them ends. */
  readonly queue: number;
  /** How long each waits, seconds. */
  readonly queueWait: number;
  /** Layers that only hosts with a label may run. */
  readonly pin?: readonly LayerPin[];
  /** For each stage; absent: the machine's cores divided by the stages. Not with stages "auto". */
  readonly threads?: number;
  /** Bytes for keys and values of all stages here together; absent: a quarter of the machine's memory. */
  readonly kvMemory?: number;
  readonly mesh: string;
  /** Device model that the stages act like, for measurements. */
  readonly device?: string;
  /** Between each stage and the others, for measurements. */
  readonly link?: LinkModel;
  /** Whether stages tell of each segment. */
  readonly reportWork: boolean;
}
