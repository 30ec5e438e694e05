/** Verified rows came for a session that was not begun, or left a gap: replay it from `begin`. */
export class DraftContextError extends Error {
  override readonly name = "DraftContextError";
  readonly session: string;
  readonly problem: string;

  constructor(session: string, problem: string) {
    super(`draft context of session ${session}: ${problem}; begin the session and send its rows again`);
    this.session = session;
    this.problem = problem;
  }
}
