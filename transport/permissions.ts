import { createHmac } from "node:crypto";
import {
  ANY,
  draftSubject,
  eventSubject,
  type SessionVerb,
  sessionSubject,
  stageSubject,
  treeSubject,
} from "./subjects.ts";

/**
 * Who may say and hear what. Each role is a user of the mesh's own nats-server:
 *
 * - `member`: a host, with its agent and perhaps the coordinator, and whoever has the mesh's token.
 * - `gateway`, `tree`, `stage`, `drafter`: the actors in a host's child processes; none of them uses JetStream.
 * - `observer`: hears all of the mesh, asks actors what they are, reads records, and says nothing else.
 */
export const ROLES = ["member", "gateway", "tree", "stage", "drafter", "observer"] as const;
export type Role = (typeof ROLES)[number];

export interface Permissions {
  /** Patterns, as nats-server's `allow`. Besides, each role may answer what it is asked. */
  readonly publish: readonly string[];
  /** Taken out of `publish`. */
  readonly publishNever?: readonly string[];
  readonly subscribe: readonly string[];
}

export interface RoleUser {
  readonly user: Role;
  readonly pass: string;
}

/**
 * A role's user. Its password follows from the mesh's token, so that one token is all that a host needs, and
 * no password leads back to the token. Without a token passwords are no secret, and the server asks for none.
 */
export function roleUser(role: Role, token = ""): RoleUser {
  return { user: role, pass: createHmac("sha256", token).update(`flowmesh ${role}`).digest("hex") };
}

/** Where answers to a role's own requests come; no other actor can hear them. */
export function inboxOf(role: Role, name: string): string {
  return `_INBOX.${role}.${name}`;
}

const SEGMENTS = stageSubject(ANY, ANY, ANY, ANY);
const TREES = treeSubject(ANY, ANY, ANY);
const DRAFTS = draftSubject(ANY, ANY, ANY);
const inbox = (role: Role) => inboxOf(role, ">");
const session = (...verbs: SessionVerb[]) => verbs.map((verb) => sessionSubject(ANY, ANY, verb));
const event = (...kinds: string[]) => kinds.map((kind) => eventSubject(ANY, kind));
const QUESTIONS = ["$SRV.PING", "$SRV.INFO", "$SRV.STATS"].flatMap((verb) => [verb, `${verb}.>`]);

/** For users' own actors, about which flowmesh knows nothing. */
const OWN = "app.>";

/** For a server of the mesh's own; so meshes are not told apart, and trials of a split run beside it. */
export const PERMISSIONS: Readonly<Record<Role, Permissions>> = {
  member: {
    publish: ["flow.>", OWN, ...QUESTIONS, "$JS.API.>", "$JS.ACK.>", "$KV.>", "$O.>"],
    subscribe: ["flow.>", OWN, "$SRV.>", "_INBOX.>"],
  },
  gateway: {
    publish: [...session("open", "cancel", "journal"), "flow.*.drafter.*", ...QUESTIONS],
    subscribe: [...session("commit", "end"), ...event("*"), SEGMENTS, TREES, "$SRV.>", inbox("gateway")],
  },
  tree: {
    // A user's own drafter is addressed by draft-<name>, and no pattern stands for part of a word.
    publish: ["flow.*.*.*.*", ...event("demand"), SEGMENTS],
    publishNever: [...session("open", "commit", "cancel", "journal"), "flow.*.host.>", "flow.*.*.tree.*"],
    subscribe: [
      ...session("open", "commit", "cancel", "journal"),
      ...event("costs", "placement", "up"),
      ...[TREES, "$SRV.>", inbox("tree")],
    ],
  },
  stage: {
    publish: [...session("commit"), ...event("up", "costs", "work"), SEGMENTS, TREES, DRAFTS],
    subscribe: [...session("commit", "end"), SEGMENTS, "$SRV.>", inbox("stage")],
  },
  drafter: {
    publish: [...session("journal"), ...event("up"), TREES],
    subscribe: [...session("commit", "end"), DRAFTS, "$SRV.>", inbox("drafter")],
  },
  observer: {
    publish: [...QUESTIONS, "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*"],
    subscribe: ["flow.>", OWN, "_INBOX.>"],
  },
};
