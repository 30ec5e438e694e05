import type { ChildContext } from "../actors/host/child-entry.ts";
import type { Plan } from "../actors/mesh/records.ts";
import type { CostTable } from "../models/stage-engine.ts";
import type { Numerics, StageSpec } from "../models/stage-spec.ts";
import type { LinkModel } from "../transport/link-model.ts";

/**
 * What a host tells a child process to be. Plain JSON: it crosses the IPC channel. Parent and child are
 * the same program, so the types are the contract and nothing is parsed again.
 */
interface MeshMember {
  readonly nats: NatsAccess;
  readonly mesh: string;
  /** What other members call this machine. */
  readonly host: string;
}

/** How to reach the mesh's NATS server. */
export interface NatsAccess {
  readonly url: string;
  readonly token?: string;
  /** Path of a NATS credentials file. */
  readonly credentials?: string;
}

/** Where a child that is loaded stands in the pipeline; told again with each new epoch. */
export interface RolePlace {
  readonly epoch: number;
  /** Of a stage. */
  readonly index: number;
  readonly stageCount: number;
}

export interface StageRole extends MeshMember {
  readonly role: "stage";
  /** Its layers; its place in the pipeline is only told when it is loaded. */
  readonly layers: Omit<StageSpec, "index" | "stageCount">;
  /** Absent: it waits to be told. */
  readonly place?: RolePlace;
  /** Folder of the compiled stage. */
  readonly folder: string;
  readonly modelPath: string;
  readonly threads: number;
  /** Memory for keys and values of all sessions, bytes. */
  readonly kvBudgetBytes: number;
  /** What its segments cost, where that is known already; absent: it measures itself before it is ready. */
  readonly costs?: CostTable;
  /** Milliseconds by segment size of a slower device to act like, for measurements. */
  readonly pace?: CostTable;
  /** Between the stage and the others, for measurements. */
  readonly link?: LinkModel;
  /** Whether to tell of each segment (`event.work`). */
  readonly reportWork: boolean;
}

export interface DrafterRole extends MeshMember {
  readonly role: "drafter";
  readonly place?: RolePlace;
  readonly kind: DraftKind;
  readonly modelPath: string;
  /** Folder of the compiled draft head; there for the kinds that have one. */
  readonly headFolder?: string;
  readonly threads: number;
}

export interface TreeRole extends MeshMember {
  readonly role: "tree";
  readonly modelPath: string;
  /** Policy of requests that name none, as `createPolicy` takes it. */
  readonly policy: string;
  /** Absent: it waits for a placement. */
  readonly epoch?: number;
  readonly plan?: Plan;
}

/** Whom a gateway lets in at once, and who may wait. */
export interface GatewayLimits {
  /** Sessions at once. */
  readonly sessionsMax: number;
  /** Requests that wait at once, of all clients; 0 refuses at once what does not fit. */
  readonly waitingMax: number;
  /** How long a request waits, milliseconds. */
  readonly patienceMs: number;
}

export interface GatewayRole extends MeshMember {
  readonly role: "gateway";
  readonly modelPath: string;
  readonly listen: string;
  readonly port: number;
  /** File of API keys; one that is not there, or empty, lets everybody in. */
  readonly keysPath: string;
  readonly allowedOrigins: readonly string[];
  readonly limits: GatewayLimits;
  /** Certificate chain and private key, PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export type RoleSpec = StageRole | DrafterRole | TreeRole | GatewayRole;
export type RoleName = RoleSpec["role"];

export const DRAFTERS = ["auto", "head", "ngram", "hybrid", "none"] as const;
export type DrafterName = (typeof DRAFTERS)[number];
/** What a drafter is made of, once `auto` is decided. */
export type DraftKind = Exclude<DrafterName, "auto" | "none">;
export const NUMERICS: readonly Numerics[] = ["fast", "precise"];

export interface RunningRole {
  stop(): Promise<void>;
  /** Told to the host with the ready message; plain JSON. */
  readonly payload?: unknown;
  /** Takes a RolePlace, if the role has one. */
  tell?(body: unknown): void;
}

/** Resolves when the role does its work: its actors have subscribed and its weights are loaded. */
export type RoleStart<Spec extends RoleSpec = RoleSpec> = (
  spec: Spec,
  context: ChildContext,
) => Promise<RunningRole>;

/** One start function for each role. */
export type RoleTable = { readonly [Name in RoleName]: RoleStart<Extract<RoleSpec, { role: Name }>> };
