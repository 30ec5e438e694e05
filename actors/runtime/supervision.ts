/** How often a crashed actor is started anew, and when its supervisor gives up. */
export interface SupervisionPolicy {
  /** Wait before the first restart; each further crash within the window doubles it. */
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
  /** The crash that makes more than this many within `windowMs` is escalated. */
  readonly restartsMax: number;
  readonly windowMs: number;
}

export const DEFAULT_SUPERVISION: SupervisionPolicy = {
  firstDelayMs: 50,
  delayMsMax: 5_000,
  restartsMax: 5,
  windowMs: 60_000,
};

export interface Verdict {
  /** Times of the crashes that still count, oldest first: what to give back at the next crash. */
  readonly crashes: readonly number[];
  readonly next: { readonly kind: "restart"; readonly delayMs: number } | { readonly kind: "escalate" };
}

/** What to do after a crash at `nowMs`, given the earlier crashes that still counted. */
export function judgeCrash(crashes: readonly number[], nowMs: number, policy: SupervisionPolicy): Verdict {
  const recent = [...crashes.filter((at) => at > nowMs - policy.windowMs), nowMs];
  if (recent.length > policy.restartsMax) return { crashes: recent, next: { kind: "escalate" } };
  const delayMs = Math.min(policy.firstDelayMs * 2 ** (recent.length - 1), policy.delayMsMax);
  return { crashes: recent, next: { kind: "restart", delayMs } };
}

/** An actor crashed too often; `cause` is its last crash. */
export class ActorEscalatedError extends Error {
  override readonly name = "ActorEscalatedError";

  constructor(actor: string, crashes: number, options: { readonly cause: Error }) {
    super(`actor ${actor} crashed ${crashes} times in a row: ${options.cause.message}`, options);
  }
}
