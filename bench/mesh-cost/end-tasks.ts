import type { LinkModel } from "../../transport/link-model.ts";

/** Where an end meets the other one. */
export type Meeting =
  | { readonly kind: "nats"; readonly url: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export type FarTask =
  | { readonly kind: "nats"; readonly url: string }
  /** Listens there, and says at which port. */
  | { readonly kind: "tcp"; readonly host: string };

export interface NearTask {
  readonly meeting: Meeting | { readonly kind: "memory" };
  /** Nodes of each segment, and elements of their rows. */
  readonly sizes: readonly number[];
  readonly width: number;
  readonly rounds: number;
  /** Segments that are sent at once in each round. */
  readonly burst: number;
  /** Put on the way to the far end; over NATS only. */
  readonly link?: LinkModel;
  /** Network device whose traffic is counted. */
  readonly device?: string;
  /** Counts the bytes that the connection carries, which slows it down. */
  readonly countsBytes?: boolean;
}

/** Of one size. */
export interface NearResult {
  readonly nodes: number;
  readonly frameBytes: number;
  /** Milliseconds of each round, ascending; of a burst, until its last segment was there. */
  readonly times: readonly number[];
  /** A segment, by what was counted; absent when nothing was. */
  readonly countedBytes?: number;
}
