import type {
  CommittedEvent,
  DraftedEvent,
  LiveSessionEvent,
  SentEvent,
  WorkedEvent,
} from "../../actors/live-port.ts";

/** A node's way: guessed, on its way through the stages, then right or not. */
export type NodeState = "drafted" | "sent" | "accepted" | "pruned";

export interface ViewNode {
  readonly key: number;
  readonly parent: ViewNode | undefined;
  readonly token: number;
  readonly text: string;
  readonly position: number;
  readonly children: Map<number, ViewNode>;
  state: NodeState;
  /** Probability after its parent, as the drafter sees it. */
  probability: number;
  /** Sent once it was known to be right: no guess. */
  isCertain: boolean;
  /** When it got its state. */
  sinceMs: number;
}

export interface ViewToken {
  readonly text: string;
  /** Whether the drafter had guessed it, and the guess was in the pipeline by then. */
  readonly guessed: boolean;
  /** Number of the commit that told of it, from 0. */
  readonly commit: number;
}

export interface ViewSegment {
  readonly key: string;
  readonly number: number;
  readonly prompt: boolean;
  /** Nodes as it left, and how many of them the last stage that worked on it still computed. */
  readonly count: number;
  computed: number;
  /** Where it is: a stage's number; the number of stages once all have passed it on. */
  stage: number;
  sinceMs: number;
}

interface StageWork {
  readonly atMs: number;
  readonly ms: number;
}

/** For this long after their end, segments and pruned nodes are still shown. */
const FADE_MS = 600;
const PRUNED_SHOWN_MAX = 48;
/** Window of the stages' busy share. */
const BUSY_MS = 2000;

/**
 * One session as its events tell it: the draft tree, the segments under way, the tokens and the figures.
 * Pure: the same events give the same view, so any moment can be shown again.
 */
export class SessionView {
  readonly session: string;
  policy: string | undefined;
  promptTokens = 0;
  maxTokens = 0;
  root: ViewNode | undefined;
  readonly tokens: ViewToken[] = [];
  readonly segments = new Map<string, ViewSegment>();
  /** Dead nodes, newest last, where they stood when they died. */
  pruned: ViewNode[] = [];
  /** Accepted nodes before the root, newest last. */
  trail: ViewNode[] = [];
  commits = 0;
  generation = 0;
  nowMs = 0;
  firstTokenMs: number | undefined;
  lastTokenMs = 0;
  ended: string | undefined;
  readonly #stages: number;
  #byId = new Map<number, ViewNode>();
  readonly #tokenAt = new Map<number, number>();
  readonly #work: StageWork[][];
  #nextKey = 0;

  constructor(session: string, stages: number) {
    this.session = session;
    this.#stages = stages;
    this.#work = Array.from({ length: stages }, () => []);
  }

  /** Tokens per second since the first one; 0 before the second. */
  get tokensPerSecond(): number {
    const seconds = (this.lastTokenMs - (this.firstTokenMs ?? 0)) / 1000;
    return seconds > 0 ? (this.tokens.length - 1) / seconds : 0;
  }

  /** Tokens that each commit brought, on average. */
  get meanAccepted(): number {
    return this.commits === 0 ? 0 : this.tokens.length / this.commits;
  }

  /** Share of the last two seconds in which a stage worked on this session. */
  busyShare(stage: number): number {
    const work = this.#work[stage] ?? [];
    const windowMs = Math.min(BUSY_MS, this.nowMs);
    const busyMs = work.reduce((sum, { atMs, ms }) => (atMs > this.nowMs - windowMs ? sum + ms : sum), 0);
    return windowMs === 0 ? 0 : Math.min(1, busyMs / windowMs);
  }

  apply(event: LiveSessionEvent): void {
    this.nowMs = event.atMs;
    switch (event.type) {
      case "opened":
        this.policy = event.policy;
        this.promptTokens = event.promptTokens;
        this.maxTokens = event.maxTokens;
        break;
      case "drafted":
        this.#drafted(event);
        break;
      case "sent":
        this.#sent(event);
        break;
      case "worked":
        this.#worked(event);
        break;
      case "committed":
        this.#committed(event);
        break;
      case "ended":
        this.ended = event.reason;
        break;
    }
    this.#forget();
  }

  #sent(event: SentEvent): void {
    const { generation, segment, prompt, count, atMs } = event;
    if (generation > this.generation) this.#restart(generation);
    const key = `${generation}.${segment}`;
    const state = { computed: count, stage: 0, sinceMs: atMs };
    this.segments.set(key, { key, number: segment, prompt, count, ...state });
    if (prompt) return;
    for (const [index, id] of event.ids.entries()) {
      const node = this.#place(event, index);
      if (node === undefined) continue;
      this.#byId.set(id, node);
      if (node.state !== "drafted") continue;
      node.isCertain = node.position < event.certain;
      this.#become(node, "sent");
    }
  }

  /** The node of a segment: known from the drafter, or new. */
  #place({ parents, tokens, texts, positions }: SentEvent, index: number): ViewNode | undefined {
    const token = tokens[index] ?? 0;
    const position = positions[index] ?? 0;
    if (position === this.root?.position && token === this.root.token) return this.root;
    const parent = this.#byId.get(parents[index] ?? -1);
    if (parent === undefined) return undefined;
    return parent.children.get(token) ?? this.#add(parent, token, texts[index] ?? "");
  }

  #worked({ generation, segment, stage, count, atMs, ms }: WorkedEvent): void {
    this.#work[stage]?.push({ atMs, ms });
    const moved = this.segments.get(`${generation}.${segment}`);
    if (moved === undefined || moved.stage > stage) return;
    moved.stage = stage + 1;
    moved.computed = count;
    moved.sinceMs = atMs;
  }

  #drafted(event: DraftedEvent): void {
    const anchor = this.#anchor(event);
    if (anchor === undefined) return;
    const placed = new Map([[anchor.index, anchor.node]]);
    for (const [index, token] of event.tokens.entries()) {
      const parentIndex = event.parents[index] ?? -1;
      const parent = placed.get(parentIndex);
      if (parent === undefined || index === anchor.index) continue;
      const known = parent.children.get(token);
      const node = known ?? this.#add(parent, token, event.texts[index] ?? "");
      const parentScore = parentIndex < 0 ? 0 : (event.scores[parentIndex] ?? 0);
      node.probability = Math.min(1, Math.exp((event.scores[index] ?? 0) - parentScore));
      placed.set(index, node);
    }
  }

  /**
   * Where candidates belong: node and its place in the list, -1 for their base. They may come after the root
   * has moved on; then it is the candidate that has become the root.
   */
  #anchor({ base, position, parents, tokens }: DraftedEvent): { node: ViewNode; index: number } | undefined {
    const { root } = this;
    if (root === undefined) return undefined;
    const known = this.#byId.get(base);
    if (known !== undefined && known.position >= root.position) return { node: known, index: -1 };
    if (position === root.position) {
      this.#byId.set(base, root);
      return { node: root, index: -1 };
    }
    let index = -1;
    for (let at = position + 1; at <= root.position; at++) {
      const token = this.#tokenAt.get(at);
      index = tokens.findIndex((each, i) => each === token && parents[i] === index);
      if (index < 0) return undefined;
    }
    return index < 0 ? undefined : { node: root, index };
  }

  #committed(event: CommittedEvent): void {
    const { nodes, tokens, texts, position, atMs } = event;
    if (event.generation > this.generation) this.#restart(event.generation);
    const path = nodes.map((id) => this.#byId.get(id));
    // Unknown where this comes before the segment that it tells of.
    const end = path.at(-1) ?? this.#make(undefined, 0, "", position + tokens.length - 2);
    const last = tokens.at(-1) ?? 0;
    const next = end.children.get(last) ?? this.#add(end, last, texts.at(-1) ?? "");
    for (const node of path) {
      if (node === undefined || node.state === "accepted") continue;
      this.#become(node, "accepted");
    }
    this.#tell(event, next);
    this.#prune(next, new Set(path));
    this.trail = [...this.trail, ...path.filter((node) => node !== undefined)].slice(-8);
    this.root = next;
    this.#byId.set(nodes.at(-1) ?? -1, end);
    this.firstTokenMs ??= atMs;
    this.lastTokenMs = atMs;
    this.commits++;
  }

  #tell({ tokens, texts, position }: CommittedEvent, next: ViewNode): void {
    for (const [index, token] of tokens.entries()) {
      const isLast = index === tokens.length - 1;
      // All before the last were nodes that the verifier has computed.
      const guessed = !isLast || (next.state === "sent" && !next.isCertain);
      if (this.#tokenAt.has(position + index)) continue;
      this.#tokenAt.set(position + index, token);
      this.tokens.push({ text: texts[index] ?? "", guessed, commit: this.commits });
    }
  }

  /** What is not below the new root is dead. */
  #prune(next: ViewNode, path: ReadonlySet<ViewNode | undefined>): void {
    const alive = new Map<ViewNode, number>();
    const ids = new Map([...this.#byId].map(([id, node]) => [node, id]));
    const visit = (node: ViewNode): void => {
      const id = ids.get(node);
      alive.set(node, id ?? -1);
      for (const child of node.children.values()) visit(child);
    };
    visit(next);
    const kill = (node: ViewNode): void => {
      if (alive.has(node)) return;
      for (const child of node.children.values()) kill(child);
      if (path.has(node)) return;
      this.#become(node, "pruned");
      this.pruned.push(node);
      node.parent?.children.delete(node.token);
    };
    if (this.root !== undefined) kill(this.root);
    this.#byId = new Map([...alive].filter(([, id]) => id >= 0).map(([node, id]) => [id, node]));
  }

  /** Something was lost, and the session is sent again. */
  #restart(generation: number): void {
    this.generation = generation;
    this.segments.clear();
    this.#byId.clear();
    for (const child of this.root?.children.values() ?? []) this.#become(child, "pruned");
    this.root?.children.clear();
  }

  #forget(): void {
    const before = this.nowMs - FADE_MS;
    for (const [key, { stage, sinceMs }] of this.segments) {
      if (stage >= this.#stages && sinceMs < before) this.segments.delete(key);
    }
    this.pruned = this.pruned.filter(({ sinceMs }) => sinceMs >= before).slice(-PRUNED_SHOWN_MAX);
    for (const work of this.#work) {
      while ((work[0]?.atMs ?? Number.POSITIVE_INFINITY) < this.nowMs - BUSY_MS) work.shift();
    }
  }

  #add(parent: ViewNode, token: number, text: string): ViewNode {
    const node = this.#make(parent, token, text, parent.position + 1);
    parent.children.set(token, node);
    return node;
  }

  #make(parent: ViewNode | undefined, token: number, text: string, position: number): ViewNode {
    const state = { state: "drafted", probability: 1, isCertain: false, sinceMs: this.nowMs } as const;
    return { key: this.#nextKey++, parent, token, text, position, children: new Map(), ...state };
  }

  #become(node: ViewNode, state: NodeState): void {
    node.state = state;
    node.sinceMs = this.nowMs;
  }
}
