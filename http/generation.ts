import {
  type Session,
  type SessionEnd,
  SessionError,
  type SessionRequest,
  type SessionStats,
} from "../actors/session-port.ts";
import { ApiError, clientGone } from "./errors.ts";
import type { Gateway } from "./gateway.ts";
import type { SessionMeter, SessionOutcome } from "./metrics.ts";
import { StopCut } from "./stop-cut.ts";
import type { TokenDecoder } from "./text-port.ts";

/** After a cancellation the mesh's last word is waited for this long, for the sake of the figures. */
const END_WAIT_MS = 1000;

export interface GenerationResult {
  readonly finishReason: "stop" | "length";
  /** Tokens up to the one that ended the answer, included: the same however commits group them. */
  readonly completionTokens: number;
  /** Commits heard. */
  readonly commits: number;
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
}

/** Opens the session of one answer. Rejects with SessionError, or with ApiError when the client left. */
export async function openGeneration(gateway: Gateway, options: GenerationOptions): Promise<Generation> {
  const session = await gateway.sessions.open(options.request);
  return new Generation(gateway, session, options);
}

/** One answer: a session's tokens turned into text, up to its end or its first stop string. */
export class Generation {
  readonly #gateway: Gateway;
  readonly #session: Session;
  readonly #signal: AbortSignal;
  readonly #meter: SessionMeter;
  readonly #decoder: TokenDecoder;
  readonly #cut: StopCut;
  readonly #endTokens: ReadonlySet<number>;
  readonly #onAbort = (): void => this.leave("the client left");
  #completionTokens = 0;
  #commits = 0;
  #ended = false;
  #clientGone = false;

  constructor(gateway: Gateway, session: Session, options: GenerationOptions) {
    this.#gateway = gateway;
    this.#session = session;
    this.#signal = options.signal;
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
  async run(show: (text: string) => Promise<void> | void): Promise<GenerationResult> {
    let outcome: SessionOutcome = "error";
    let stats: SessionStats | undefined;
    try {
      for await (const commit of this.#session.commits) {
        this.#commits++;
        this.#meter.commit(commit.tokens.length, this.#gateway.clock.now());
        const text = this.#read(commit.tokens);
        if (text !== "") await show(text);
        if (this.#cut.found) break;
      }
      if (!this.#cut.found) {
        const tail = this.#cut.push(this.#decoder.flush()) + this.#cut.end();
        if (tail !== "") await show(tail);
      }
      if (this.#cut.found) this.#session.cancel("stop string");
      const end = await this.#end();
      stats = end?.stats;
      outcome = this.#cut.found ? "stop" : (end?.reason ?? "cancelled");
      return {
        finishReason: this.#finishReason(end),
        completionTokens: this.#completionTokens,
        commits: this.#commits,
        stats,
      };
    } catch (error) {
      if (this.#clientGone) outcome = "cancelled";
      this.#session.cancel("the answer could not be given");
      throw error;
    } finally {
      this.#signal.removeEventListener("abort", this.#onAbort);
      this.#meter.end(outcome, stats);
    }
  }

  /** Token by token, so that what is shown and counted does not depend on how commits group them. */
  #read(tokens: readonly number[]): string {
    let text = "";
    for (const token of tokens) {
      if (this.#ended || this.#cut.found) break;
      this.#completionTokens++;
      if (this.#endTokens.has(token)) this.#ended = true;
      else text += this.#cut.push(this.#decoder.push([token]));
    }
    return text;
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
