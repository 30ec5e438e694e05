import { SubjectError } from "./errors.ts";

/**
 * Every subject of the mesh, built and parsed in one place:
 *
 *   flow.<mesh>.session.<sid>.<open|commit|cancel|end>   what a session's listeners hear, JSON
 *   flow.<mesh>.session.<sid>.journal                    request: the session's accepted tokens, JSON
 *   flow.<mesh>.e<epoch>.stage.<k>.<sid>                 segments to stage k
 *   flow.<mesh>.e<epoch>.draft.<sid>                     to the mesh's drafter: features, begin, expand
 *   flow.<mesh>.e<epoch>.draft-<name>.<sid>              to a user's own drafter: begin, expand
 *   flow.<mesh>.drafter.<name>                           request: is that drafter there? JSON
 *   flow.<mesh>.e<epoch>.tree.<sid>                      to the tree manager: candidates, credits, acks, gaps
 *   flow.<mesh>.event.<kind>                             placement, joins, leaves, timings, JSON
 *   flow.<mesh>.host.<host>.<verb>                       requests to a host agent, JSON
 *   flow.<mesh>.weights                                  requests for parts of the model file, JSON
 *
 * Names are lower case: [a-z0-9_-]+. Given ANY in place of a name or number, a builder gives a pattern.
 */
export const ANY = "*";
type Any = typeof ANY;

export type SessionVerb = "open" | "commit" | "cancel" | "end" | "journal";

const SESSION_VERBS: ReadonlySet<string> = new Set<SessionVerb>([
  "open",
  "commit",
  "cancel",
  "end",
  "journal",
]);
const NAME = /^[a-z0-9_-]+$/;
const NAME_LENGTH_MAX = 64;
const NUMBER = /^(0|[1-9][0-9]{0,9})$/;
const NUMBER_MAX = 0xffff_ffff;

function isName(text: string): boolean {
  return NAME.test(text) && text.length <= NAME_LENGTH_MAX;
}

/** Throws SubjectError unless `text` can be a token of a subject; `what` names it in the error. */
export function checkName(text: string, what: string): string {
  if (isName(text)) return text;
  throw new SubjectError(
    `${what} "${text}" can't be part of a subject: use 1 to ${NAME_LENGTH_MAX} of a-z, 0-9, "_" and "-"`,
  );
}

function name(text: string, what: string): string {
  return text === ANY ? text : checkName(text, what);
}

function count(value: number | Any, what: string): string {
  if (value === ANY) return value;
  if (Number.isInteger(value) && value >= 0 && value <= NUMBER_MAX) return String(value);
  throw new SubjectError(`${what} ${value} must be a whole number from 0 to ${NUMBER_MAX}`);
}

/** A wildcard must be a whole token, so patterns over all epochs have `*` where `e<epoch>` stands. */
function epochToken(epoch: number | Any): string {
  return epoch === ANY ? epoch : `e${count(epoch, "epoch")}`;
}

export function sessionSubject(mesh: string, sid: string, verb: SessionVerb | Any): string {
  return `flow.${name(mesh, "mesh")}.session.${name(sid, "session")}.${verb}`;
}

export function stageSubject(mesh: string, epoch: number | Any, stage: number | Any, sid: string): string {
  const address = `${epochToken(epoch)}.stage.${count(stage, "stage")}`;
  return `flow.${name(mesh, "mesh")}.${address}.${name(sid, "session")}`;
}

/** `drafter`: name of a user's own; absent: the mesh's. */
export function draftSubject(mesh: string, epoch: number | Any, sid: string, drafter?: string): string {
  const place = drafter === undefined ? "draft" : `draft-${checkName(drafter, "drafter")}`;
  return `flow.${name(mesh, "mesh")}.${epochToken(epoch)}.${place}.${name(sid, "session")}`;
}

export function drafterSubject(mesh: string, drafter: string): string {
  return `flow.${name(mesh, "mesh")}.drafter.${checkName(drafter, "drafter")}`;
}

export function treeSubject(mesh: string, epoch: number | Any, sid: string): string {
  return `flow.${name(mesh, "mesh")}.${epochToken(epoch)}.tree.${name(sid, "session")}`;
}

export function eventSubject(mesh: string, kind: string): string {
  return `flow.${name(mesh, "mesh")}.event.${name(kind, "event")}`;
}

export function hostSubject(mesh: string, host: string, verb: string): string {
  return `flow.${name(mesh, "mesh")}.host.${name(host, "host")}.${name(verb, "verb")}`;
}

export function weightsSubject(mesh: string): string {
  return `flow.${name(mesh, "mesh")}.weights`;
}

function parseCount(text: string): number | undefined {
  if (!NUMBER.test(text)) return undefined;
  const value = Number(text);
  return value <= NUMBER_MAX ? value : undefined;
}

function parseEpoch(token: string): number | undefined {
  return token.startsWith("e") ? parseCount(token.slice(1)) : undefined;
}

/** The tokens after `flow`, or undefined unless there are `length` of them, all names. */
function tokensOf(subject: string, length: number): readonly string[] | undefined {
  const [root, ...tokens] = subject.split(".");
  return root === "flow" && tokens.length === length && tokens.every(isName) ? tokens : undefined;
}

function isVerb(text: string): text is SessionVerb {
  return SESSION_VERBS.has(text);
}

/** The parse functions give undefined for any subject that the builder of the same name can't have made. */
export function parseSession(subject: string): { mesh: string; sid: string; verb: SessionVerb } | undefined {
  const [mesh, place, sid, verb] = tokensOf(subject, 4) ?? [];
  if (mesh === undefined || sid === undefined || verb === undefined) return undefined;
  return place === "session" && isVerb(verb) ? { mesh, sid, verb } : undefined;
}

export function parseStage(
  subject: string,
): { mesh: string; epoch: number; stage: number; sid: string } | undefined {
  const [mesh, epochText, place, stageText, sid] = tokensOf(subject, 5) ?? [];
  if (mesh === undefined || sid === undefined || place !== "stage") return undefined;
  const epoch = parseEpoch(epochText ?? "");
  const stage = parseCount(stageText ?? "");
  return epoch === undefined || stage === undefined ? undefined : { mesh, epoch, stage, sid };
}

function parseEpochPlace(subject: string) {
  const [mesh, epochText, place, sid] = tokensOf(subject, 4) ?? [];
  if (mesh === undefined || sid === undefined || place === undefined) return undefined;
  const epoch = parseEpoch(epochText ?? "");
  return epoch === undefined ? undefined : { mesh, epoch, place, sid };
}

/** `drafter` is absent for the mesh's own. */
export function parseDraft(
  subject: string,
): { mesh: string; epoch: number; sid: string; drafter?: string } | undefined {
  const { place, ...parsed } = parseEpochPlace(subject) ?? { place: "" };
  if (!("sid" in parsed)) return undefined;
  if (place === "draft") return parsed;
  const drafter = /^draft-(.+)$/.exec(place)?.[1];
  return drafter === undefined ? undefined : { ...parsed, drafter };
}

export function parseTree(subject: string): { mesh: string; epoch: number; sid: string } | undefined {
  const { place, ...parsed } = parseEpochPlace(subject) ?? { place: "" };
  return place === "tree" && "sid" in parsed ? parsed : undefined;
}

export function parseEvent(subject: string): { mesh: string; kind: string } | undefined {
  const [mesh, place, kind] = tokensOf(subject, 3) ?? [];
  if (mesh === undefined || kind === undefined || place !== "event") return undefined;
  return { mesh, kind };
}

export function parseHost(subject: string): { mesh: string; host: string; verb: string } | undefined {
  const [mesh, place, host, verb] = tokensOf(subject, 4) ?? [];
  if (mesh === undefined || host === undefined || verb === undefined || place !== "host") return undefined;
  return { mesh, host, verb };
}
