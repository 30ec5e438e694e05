import {
  type Session,
  type SessionCommit,
  type SessionEnd,
  SessionError,
  type SessionRequest,
  type SessionStats,
} from "../actors/session-port.ts";
import type { PositionLogprobs } from "../decoding/log-probs.ts";
import { ApiError, clientGone } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import type { SessionMeter, SessionOutcome } from "./metrics.ts";
import { StopCut } from "./stop-cut.ts";
import type { TokenDecoder } from "./text-port.ts";

/** After a cancellation the mesh's last word is waited for this long, for the sake of the figures. */
const END_WAIT_MS = 1000;

/** A commit as the client may be told of it. */
export interface CommitNote {
  readonly tokens: number;
  /** Since the request came. */
  readonly ms: number;
}

/** What came of the answer since the last piece. */
export interface Piece {
  readonly text: string;
  /** One a token whose text is whole by now, where the session tells them. */
  readonly logprobs: readonly PositionLogprobs[];
  readonly commits: readonly CommitNote[];
}

export interface GenerationResult {
  readonly finishReason: "stop" | "length";
  /** What no piece has told. Its text is empty. */
  readonly rest: Piece;
  /** Tokens up to the one that ended the answer, included: the same however commits group them. */
  readonly completionTokens: number;
  /** Commits heard. */
  readonly commits: number;
  /** From the request to the first commit; undefined without any. */
  readonly firstTokenMs: number | undefined;
  /** Absent when the mesh did not tell them in time. */
  readonly stats: SessionStats | undefined;
}

export interface GenerationOptions {
  readonly request: SessionRequest;
  readonly stops: readonly string[];
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** When the request came, in the gateway clock's milliseconds. */
  readonly requestedAt: number;
  /** Told of each token of the answer, as it comes. */
  readonly charge: ((tokens: number) => void) | undefined;
  /** Called once, when its session is over or could not be opened. */
  readonly onOver: () => void;
}

/** Opens the session of one answer. Rejects with SessionError, or with ApiError when the client left. */
export async function openGeneration(gateway: Gateway, options: GenerationOptions): Promise<Generation> {
  try {
    const session = await gateway.sessions.open(options.request);
    return new Generation(gateway, session, options);
  } catch (error) {
    options.onOver();
    throw error;
  }
}

/** One answer: a session's tokens turned into text, up to its end or its first stop string. */
export class Generation {
  readonly #gateway: Gateway;
  readonly #session: Session;
  readonly #signal: AbortSignal;
  readonly #requestedAt: number;
  readonly #charge: GenerationOptions["charge"];
  readonly #onOver: GenerationOptions["onOver"];
  readonly #meter: SessionMeter;
  readonly #decoder: TokenDecoder;
  readonly #cut: StopCut;
  readonly #endTokens: ReadonlySet<number>;
  readonly #onAbort = (): void => this.leave("the client left");
  /** Log-probabilities whose text was not shown yet, with the length of all text up to their token's end. */
  #waiting: { readonly end: number; readonly logprobs: PositionLogprobs }[] = [];
  #notes: CommitNote[] = [];
  #decodedLength = 0;
  #shownLength = 0;
  #completionTokens = 0;
  #commits = 0;
  #firstTokenMs: number | undefined;
  #ended = false;
  #clientGone = false;

  constructor(gateway: Gateway, session: Session, options: GenerationOptions) {
    this.#gateway = gateway;
    this.#session = session;
    this.#signal = options.signal;
    this.#requestedAt = options.requestedAt;
    this.#charge = options.charge;
    this.#onOver = options.onOver;
    this.#meter = gateway.metrics.openSession(options.request.prompt.length, options.requestedAt);
    this.#decoder = gateway.text.decoder();
    this.#cut = new StopCut(options.stops);
    this.#endTokens = new Set(options.request.stopTokens);
    if (this.#signal.aborted) this.#onAbort();
    else this.#signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Nobody waits for this answer any more: `run` ends soon, with an error that is for nobody. */
  leave(reason: string): void {
    this.#clientGone = true;
    this.#session.cancel(reason);
  }

  /**
   * Runs to the end, once. `show` gets the text of each commit that has some to show, and holds the next
   * one back until it resolves. Rejects with SessionError `failed`, or with ApiError when it was cancelled.
   */
  async run(show: (piece: Piece) => Promise<void> | void): Promise<GenerationResult> {
    let outcome: SessionOutcome = "error";
    let stats: SessionStats | undefined;
    try {
      for await (const commit of this.#session.commits) {
        this.#note(commit.tokens.length);
        const text = this.#read(commit);
        if (text !== "") await show(this.#piece(text));
        if (this.#cut.found) break;
      }
      if (!this.#cut.found) {
        const tail = this.#cut.push(this.#decoder.flush()) + this.#cut.end();
        if (tail !== "") await show(this.#piece(tail));
      }
      if (this.#cut.found) this.#session.cancel("stop string");
      const end = await this.#end();
      stats = end?.stats;
      outcome = this.#cut.found ? "stop" : (end?.reason ?? "cancelled");
      return {
        finishReason: this.#finishReason(end),
        rest: this.#piece(""),
        completionTokens: this.#completionTokens,
        commits: this.#commits,
        firstTokenMs: this.#firstTokenMs,
        stats,
      };
    } catch (error) {
      if (this.#clientGone) outcome = "cancelled";
      this.#session.cancel("the answer could not be given");
      throw error;
    } finally {
      this.#signal.removeEventListener("abort", this.#onAbort);
      this.#meter.end(outcome, stats);
      this.#onOver();
    }
  }

  #note(tokens: number): void {
    const now = this.#gateway.clock.now();
    this.#commits++;
    this.#meter.commit(tokens, now);
    const ms = now - this.#requestedAt;
    this.#firstTokenMs ??= ms;
    this.#notes.push({ tokens, ms });
  }

  /** Token by token, so that what is shown and counted does not depend on how commits group them. */
  #read({ tokens, logprobs }: SessionCommit): string {
    let text = "";
    for (const [index, token] of tokens.entries()) {
      if (this.#ended || this.#cut.found) break;
      this.#completionTokens++;
      this.#charge?.(1);
      if (this.#endTokens.has(token)) {
        this.#ended = true;
        break;
      }
      const decoded = this.#decoder.push([token]);
      this.#decodedLength += decoded.length;
      text += this.#cut.push(decoded);
      const told = logprobs?.[index];
      // A token that ends inside a character waits for the rest of it.
      const end = this.#decodedLength + (decoded === "" ? 1 : 0);
      if (told !== undefined) this.#waiting.push({ end, logprobs: told });
    }
    return text;
  }

  /** A token's log-probabilities go out with the last of its text. What a stop string cut away has none. */
  #piece(text: string): Piece {
    this.#shownLength += text.length;
    const isLast = text === "" && !this.#cut.found;
    const ready = isLast ? -1 : this.#waiting.findIndex(({ end }) => end > this.#shownLength);
    const told = this.#waiting.splice(0, ready < 0 ? this.#waiting.length : ready);
    const commits = this.#notes;
    this.#notes = [];
    return { text, logprobs: told.map(({ logprobs }) => logprobs), commits };
  }

  /** How the session ended; undefined when it was cancelled here and the mesh is slow to confirm. */
  async #end(): Promise<SessionEnd | undefined> {
    if (!this.#cut.found && !this.#clientGone) return await this.#session.ended;
    let stopTimer = (): void => {};
    const timeout = new Promise<undefined>((resolve) => {
      stopTimer = this.#gateway.clock.setTimer(END_WAIT_MS, () => resolve(undefined));
    });
    try {
      return await Promise.race([this.#session.ended, timeout]);
    } finally {
      stopTimer();
    }
  }

  #finishReason(end: SessionEnd | undefined): "stop" | "length" {
    if (this.#clientGone) throw clientGone();
    if (this.#cut.found || end === undefined) return "stop";
    if (end.reason === "stop" || end.reason === "length") return end.reason;
    if (end.reason === "error") throw new SessionError("failed", end.message ?? "the generation failed");
    throw new ApiError(503, `the generation was cancelled: ${end.message ?? "no reason given"}`, {
      code: "generation_cancelled",
    });
  }
}
