import {
  candidatesSchema,
  commitSchema,
  parseJson,
  type StageWorkMessage,
  stageWorkSchema,
} from "../actors/messages.ts";
import { decodeSegment } from "../transport/frame.ts";
import { messageBytes } from "../transport/link-model.ts";
import {
  ANY,
  draftSubject,
  eventSubject,
  parseDraft,
  parseSession,
  parseStage,
  parseTree,
  sessionSubject,
  stageSubject,
  treeSubject,
} from "../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../transport/transport.ts";
import type { Drafting, HeardCommit, SentSegment, SessionRecord } from "./session-record.ts";

/** A record that is still written to. */
interface OpenRecord {
  readonly commits: HeardCommit[];
  readonly segments: SentSegment[];
  readonly work: StageWorkMessage[];
  readonly draftings: Drafting[];
  readonly reportsMs: number[];
  /** When the expansion that still runs was asked for. */
  askedAtMs?: number | undefined;
}

/** The host's wall clock, as fine as `event.work` tells it. */
const wallMs = (): number => performance.timeOrigin + performance.now();

/** Listens to everything that a mesh says of its sessions, and keeps it by session. */
export class SessionObserver {
  readonly #records = new Map<string, OpenRecord>();
  readonly #subscriptions: readonly Subscription[];

  /** `drafting`: also hear how long the drafter takes, which brings the features of all tokens with it. */
  constructor(transport: Transport, mesh: string, { drafting }: { readonly drafting: boolean }) {
    const hear = (subject: string, handle: (message: Message) => void) =>
      transport.subscribe(subject, handle);
    this.#subscriptions = [
      hear(sessionSubject(mesh, ANY, "commit"), (message) => this.#committed(message)),
      hear(stageSubject(mesh, ANY, 0, ANY), (message) => this.#sent(message)),
      hear(eventSubject(mesh, "work"), (message) => this.#worked(message)),
      ...(drafting
        ? [
            hear(draftSubject(mesh, ANY, ANY), (message) => this.#asked(message)),
            hear(treeSubject(mesh, ANY, ANY), (message) => this.#told(message)),
          ]
        : []),
    ];
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  /** What was heard of a session; then all is forgotten, also what came late of earlier ones. */
  take(sid: string): SessionRecord {
    const { askedAtMs: _, work, ...record } = this.#recordOf(sid);
    this.#records.clear();
    return { ...record, work: work.toSorted((a, b) => a.beginMs - b.beginMs) };
  }

  #recordOf(sid: string): OpenRecord {
    const known = this.#records.get(sid);
    if (known !== undefined) return known;
    const record = { commits: [], segments: [], work: [], draftings: [], reportsMs: [] };
    this.#records.set(sid, record);
    return record;
  }

  #committed(message: Message): void {
    const sid = parseSession(message.subject)?.sid;
    if (sid === undefined) return;
    const { generation, segment, position, nodes, tokens } = parseJson(commitSchema, message);
    const atMs = wallMs();
    this.#recordOf(sid).commits.push({ atMs, generation, segment, position, nodes, tokens });
  }

  #sent(message: Message): void {
    const sid = parseStage(message.subject)?.sid;
    if (sid === undefined) return;
    const atMs = wallMs();
    const { generation, sequence, committed, certain, nodes } = decodeSegment(message);
    const bytes = messageBytes(message.subject, message.body, message.headers);
    const segment = { atMs, generation, sequence, committed, certain, bytes };
    this.#recordOf(sid).segments.push({ ...segment, nodes: [...nodes.ids] });
  }

  #worked(message: Message): void {
    const work = parseJson(stageWorkSchema, message);
    this.#recordOf(work.sid).work.push(work);
  }

  #asked(message: Message): void {
    const sid = parseDraft(message.subject)?.sid;
    if (sid === undefined || message.headers["Flow-Kind"] !== "expand") return;
    this.#recordOf(sid).askedAtMs = wallMs();
  }

  #told(message: Message): void {
    const sid = parseTree(message.subject)?.sid;
    if (sid === undefined) return;
    const kind = message.headers["Flow-Kind"];
    if (kind === "credit" || kind === "ack") this.#recordOf(sid).reportsMs.push(wallMs());
    else if (kind === "candidates") this.#drafted(this.#recordOf(sid), message);
  }

  #drafted(record: OpenRecord, message: Message): void {
    const { more } = parseJson(candidatesSchema, message);
    if (record.askedAtMs === undefined) return;
    record.draftings.push({ beginMs: record.askedAtMs, endMs: wallMs() });
    record.askedAtMs = more ? wallMs() : undefined;
  }
}
