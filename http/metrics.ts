import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { SessionEnd, SessionStats } from "../actors/session-port.ts";
import { registerProcessMetrics } from "./process-metrics.ts";

const FIRST_TOKEN_SECONDS = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6];
const INTER_COMMIT_SECONDS = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12];
const COMMIT_TOKENS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16];

/** How a session ended, seen from the gateway: a stop string counts as `stop`. */
export type SessionOutcome = SessionEnd["reason"];

/** The gateway's figures, in a registry that others may add theirs to. Names are described in /metrics itself. */
export class GatewayMetrics {
  readonly registry = new Registry();
  readonly #registers = [this.registry];
  readonly #requests = new Counter({
    name: "flowmesh_http_requests_total",
    help: "HTTP requests by route and status; 499 is a client that left before the answer began",
    labelNames: ["method", "route", "status"] as const,
    registers: this.#registers,
  });
  readonly #firstToken = this.#histogram(
    "flowmesh_time_to_first_token_seconds",
    "From the request to its first commit",
    FIRST_TOKEN_SECONDS,
  );
  readonly #interCommit = this.#histogram(
    "flowmesh_inter_commit_seconds",
    "Between two commits of one session",
    INTER_COMMIT_SECONDS,
  );
  readonly #commitTokens = this.#histogram(
    "flowmesh_commit_tokens",
    "Tokens of one commit: what the verifier accepted, and the token that follows",
    COMMIT_TOKENS,
  );
  readonly #promptTokens = this.#counter(
    "flowmesh_prompt_tokens_total",
    "Tokens of opened sessions' prompts",
  );
  readonly #tokens = this.#counter("flowmesh_generation_tokens_total", "Tokens committed");
  readonly #active = new Gauge({
    name: "flowmesh_sessions_active",
    help: "Sessions opened here that have not ended",
    registers: this.#registers,
  });
  readonly #sessions = new Counter({
    name: "flowmesh_sessions_total",
    help: "Ended sessions by reason; a stop string counts as stop",
    labelNames: ["reason"] as const,
    registers: this.#registers,
  });
  readonly #segments = this.#counter("flowmesh_segments_total", "Segments that ended sessions sent");
  readonly #drafts = this.#counter(
    "flowmesh_spec_decode_num_drafts_total",
    "Verified drafts (commits) of ended sessions; mean acceptance length is 1 + accepted / drafts",
  );
  readonly #draftTokens = this.#counter(
    "flowmesh_spec_decode_num_draft_tokens_total",
    "Draft tokens that ended sessions sent into the pipeline",
  );
  readonly #acceptedTokens = this.#counter(
    "flowmesh_spec_decode_num_accepted_tokens_total",
    "Of those, accepted",
  );

  constructor() {
    registerProcessMetrics(this.registry);
  }

  /** `waiting`: requests that wait for room just now. */
  watchQueue(waiting: () => number): void {
    new Gauge({
      name: "flowmesh_requests_waiting",
      help: "Requests that wait until the mesh has room for them",
      registers: this.#registers,
      collect() {
        this.set(waiting());
      },
    });
  }

  countRequest(method: string, route: string, status: number): void {
    this.#requests.inc({ method, route, status });
  }

  /** Follows one session; `requestedAt` and all later times are milliseconds of one monotonic clock. */
  openSession(promptTokens: number, requestedAt: number): SessionMeter {
    this.#active.inc();
    this.#promptTokens.inc(promptTokens);
    let last: number | undefined;
    return {
      commit: (tokens, now) => {
        if (last === undefined) this.#firstToken.observe((now - requestedAt) / 1000);
        else this.#interCommit.observe((now - last) / 1000);
        last = now;
        this.#commitTokens.observe(tokens);
        this.#tokens.inc(tokens);
      },
      end: (reason, stats) => {
        this.#active.dec();
        this.#sessions.inc({ reason });
        if (stats === undefined) return;
        this.#segments.inc(stats.segments);
        this.#drafts.inc(stats.commits);
        this.#draftTokens.inc(stats.draftTokens);
        this.#acceptedTokens.inc(stats.acceptedTokens);
      },
    };
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: this.#registers });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: this.#registers });
  }
}

export interface SessionMeter {
  commit(tokens: number, now: number): void;
  /** Once. `stats` are absent when the mesh did not tell them in time. */
  end(reason: SessionOutcome, stats: SessionStats | undefined): void;
}
