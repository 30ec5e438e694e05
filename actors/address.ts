import {
  parseDraft,
  parseEvent,
  parseSession,
  parseStage,
  parseTree,
  type SessionVerb,
} from "../transport/subjects.ts";

/** What a message's subject says to an actor. */
export type Address =
  | { readonly to: "session"; readonly sid: string; readonly verb: SessionVerb }
  | { readonly to: "stage" | "draft" | "tree"; readonly sid: string }
  | { readonly to: "event"; readonly kind: string };

/** Undefined for subjects that no actor of the pipeline listens to. */
export function addressOf(subject: string): Address | undefined {
  const session = parseSession(subject);
  if (session !== undefined) return { to: "session", sid: session.sid, verb: session.verb };
  const stage = parseStage(subject);
  if (stage !== undefined) return { to: "stage", sid: stage.sid };
  const draft = parseDraft(subject);
  if (draft !== undefined) return { to: "draft", sid: draft.sid };
  const tree = parseTree(subject);
  if (tree !== undefined) return { to: "tree", sid: tree.sid };
  const event = parseEvent(subject);
  return event === undefined ? undefined : { to: "event", kind: event.kind };
}
