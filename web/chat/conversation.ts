import {
  type ChatMessage,
  type ChatPiece,
  type ChatRequest,
  type GatewayApi,
  GatewayError,
  type ToolCall,
} from "../gateway-api.ts";
import type { LiveConnection } from "../live/live-connection.ts";
import type { Recording } from "../live/recording.ts";
import { parseTools, type Settings } from "../settings.ts";
import { createStore, type Store } from "../store.ts";

/** Each token goes through the pipeline alone: what speculation is compared with. */
export const PLAIN_POLICY = "autoregressive";

/** One answer to a question; a comparison has two. */
export interface Run {
  readonly policy: string;
  readonly seed: number;
  readonly state: "waiting" | "streaming" | "done" | "stopped" | "failed";
  readonly text: string;
  readonly calls: readonly ToolCall[];
  /** Milliseconds since the request, of the text's beginnings of so many characters. */
  readonly steps: readonly { readonly atMs: number; readonly length: number }[];
  readonly finishReason: string;
  readonly completionTokens: number;
  readonly commits: number;
  readonly recording: Recording | undefined;
}

export interface Turn {
  readonly id: number;
  readonly question: string;
  readonly runs: readonly Run[];
  readonly error: string | undefined;
}

export interface ConversationState {
  readonly turns: readonly Turn[];
  readonly isAnswering: boolean;
}

const SEED_RANGE = 2 ** 31;
/** Text of a whole answer that is a time's only step counts from its beginning. */
const EMPTY: Omit<Run, "policy" | "seed"> = {
  state: "waiting",
  text: "",
  calls: [],
  steps: [],
  finishReason: "",
  completionTokens: 0,
  commits: 0,
  recording: undefined,
};

/** Characters a second are no tokens a second: the rate counts what came after the first piece. */
export function tokensPerSecond({ steps, completionTokens, commits }: Run): number | undefined {
  const [first, last] = [steps[0], steps.at(-1)];
  if (first === undefined || last === undefined || commits < 2 || last.atMs <= first.atMs) return undefined;
  return ((completionTokens - 1) * 1000) / (last.atMs - first.atMs);
}

/** The questions and answers of this page, and what may be done with them. */
export class Conversation {
  readonly state: Store<ConversationState> = createStore<ConversationState>({
    turns: [],
    isAnswering: false,
  });
  readonly #api: GatewayApi;
  readonly #live: LiveConnection;
  readonly #settings: Store<Settings>;
  #stop = new AbortController();
  #nextId = 0;

  constructor(api: GatewayApi, live: LiveConnection, settings: Store<Settings>) {
    this.#api = api;
    this.#live = live;
    this.#settings = settings;
  }

  ask(question: string): void {
    if (this.state.value.isAnswering) return;
    const turn: Turn = { id: this.#nextId++, question, runs: [], error: undefined };
    this.#change({ turns: [...this.state.value.turns, turn], isAnswering: true });
    void this.#answer();
  }

  /** The last question once more, with another seed unless the settings name one. */
  regenerate(): void {
    if (this.state.value.isAnswering || this.state.value.turns.length === 0) return;
    this.#changeTurn({ runs: [], error: undefined });
    this.#change({ isAnswering: true });
    void this.#answer();
  }

  stop(): void {
    this.#stop.abort();
  }

  clear(): void {
    this.stop();
    this.#change({ turns: [] });
  }

  async #answer(): Promise<void> {
    const stop = new AbortController();
    this.#stop = stop;
    const { value: settings } = this.#settings;
    const seed = settings.seed ?? Math.floor(Math.random() * SEED_RANGE);
    const policies = settings.compare ? [settings.policy, PLAIN_POLICY] : [settings.policy];
    for (const [index, policy] of policies.entries()) {
      await this.#run(index, { ...EMPTY, policy, seed }, stop.signal);
      if (this.#last?.runs[index]?.state !== "done") break;
    }
    this.#change({ isAnswering: false });
  }

  async #run(index: number, run: Run, signal: AbortSignal): Promise<void> {
    const changeRun = (part: Partial<Run>): void => {
      const runs = [...(this.#last?.runs ?? [])];
      runs[index] = { ...(runs[index] ?? run), ...part };
      if (!signal.aborted || part.state === "stopped") this.#changeTurn({ runs });
    };
    const requestedAt = performance.now();
    changeRun({});
    const before = this.#live.state.value.current;
    let text = "";
    try {
      for await (const piece of this.#api.chat(this.#request(run), signal)) {
        const { current } = this.#live.state.value;
        const recording = current === before ? undefined : current;
        if (piece.type === "text") {
          text += piece.text;
          const step = { atMs: performance.now() - requestedAt, length: text.length };
          const steps = [...(this.#last?.runs[index]?.steps ?? []), step];
          changeRun({ state: "streaming", text, steps, recording });
        } else if (piece.type === "call") {
          const step = { atMs: performance.now() - requestedAt, length: text.length };
          const { steps = [], calls = [] } = this.#last?.runs[index] ?? {};
          changeRun({
            state: "streaming",
            calls: withPiece(calls, piece),
            steps: [...steps, step],
            recording,
          });
        } else if (piece.type === "finish") changeRun({ finishReason: piece.reason, recording });
        else changeRun({ completionTokens: piece.completionTokens, commits: piece.commits, recording });
      }
      changeRun({ state: "done" });
    } catch (error) {
      if (signal.aborted) changeRun({ state: "stopped" });
      else {
        changeRun({ state: "failed" });
        this.#changeTurn({ error: reasonOf(error) });
      }
    }
  }

  #request({ policy, seed }: Run): ChatRequest {
    const { system, temperature, maxTokens, tools: listed } = this.#settings.value;
    const tools = parseTools(listed);
    const messages: ChatMessage[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
    const { turns } = this.state.value;
    for (const [index, { question, runs }] of turns.entries()) {
      messages.push({ role: "user", content: question });
      if (index < turns.length - 1 && runs[0] !== undefined) messages.push(...messageOf(runs[0]));
    }
    const flowmesh = { ...(policy !== "" && { policy }), live: this.#live.name };
    return { messages, temperature, seed, max_tokens: maxTokens, ...(tools && { tools }), flowmesh };
  }

  get #last(): Turn | undefined {
    return this.state.value.turns.at(-1);
  }

  #changeTurn(part: Partial<Turn>): void {
    const { turns } = this.state.value;
    const last = turns.at(-1);
    if (last !== undefined) this.#change({ turns: [...turns.slice(0, -1), { ...last, ...part }] });
  }

  #change(part: Partial<ConversationState>): void {
    this.state.set({ ...this.state.value, ...part });
  }
}

/** Arguments come in pieces, all else with the first of them. */
function withPiece(
  calls: readonly ToolCall[],
  { index, id = "", name = "", arguments: more = "" }: ChatPiece & { readonly type: "call" },
): readonly ToolCall[] {
  const call = calls[index] ?? { id, name, arguments: "" };
  return [...calls.slice(0, index), { ...call, arguments: call.arguments + more }, ...calls.slice(index + 1)];
}

/** None for a run that has written nothing; a call that was cut off is left out. */
function messageOf({ text, calls }: Run): ChatMessage[] {
  const whole = calls.filter((call) => isJson(call.arguments));
  if (text === "" && whole.length === 0) return [];
  const tool_calls = whole.map(({ id, name, arguments: json }) => ({
    id,
    type: "function" as const,
    function: { name, arguments: json },
  }));
  return [
    { role: "assistant", content: text === "" ? null : text, ...(tool_calls.length > 0 && { tool_calls }) },
  ];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof GatewayError && error.status === 401) {
    return `${error.message} Give a key under Settings.`;
  }
  return error instanceof Error ? error.message : String(error);
}
