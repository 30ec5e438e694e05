import { SubjectError } from "./errors.ts";

/** NATS reads at most 4,096 bytes of a protocol line, in which subject and reply inbox must fit. */
const SUBJECT_LENGTH_MAX = 1024;

function checkTokens(subject: string, what: string, wildcards: boolean): void {
  if (subject.length === 0 || subject.length > SUBJECT_LENGTH_MAX) {
    throw new SubjectError(`a ${what} has 1 to ${SUBJECT_LENGTH_MAX} characters, not ${subject.length}`);
  }
  const tokens = subject.split(".");
  for (const [index, token] of tokens.entries()) {
    if (token === "" || /\s/.test(token)) {
      throw new SubjectError(`${what} "${subject}" has an empty token or white space between its dots`);
    }
    if (token !== "*" && token !== ">") continue;
    if (!wildcards) throw new SubjectError(`"${subject}" is a pattern; one can only publish to a ${what}`);
    if (token === ">" && index !== tokens.length - 1) {
      throw new SubjectError(`${what} "${subject}" has ">" before its end`);
    }
  }
}

/** Throws SubjectError unless one can publish to `subject`. */
export function checkSubject(subject: string): void {
  checkTokens(subject, "subject", false);
}

/** Throws SubjectError unless one can subscribe to `pattern`. */
export function checkPattern(pattern: string): void {
  checkTokens(pattern, "pattern", true);
}

/** NATS's rule: `*` stands for one token, `>` for one or more at the end. Both given as tokens. */
export function tokensMatch(pattern: readonly string[], subject: readonly string[]): boolean {
  for (const [index, token] of pattern.entries()) {
    if (token === ">") return subject.length > index;
    if (index >= subject.length || (token !== "*" && token !== subject[index])) return false;
  }
  return pattern.length === subject.length;
}

export function subjectMatches(pattern: string, subject: string): boolean {
  return tokensMatch(pattern.split("."), subject.split("."));
}

/** True when some subject matches both patterns. */
export function patternsOverlap(left: string, right: string): boolean {
  const a = left.split(".");
  const b = right.split(".");
  for (let index = 0; ; index++) {
    const [one, other] = [a[index], b[index]];
    if (one === undefined || other === undefined) return one === other;
    if (one === ">" || other === ">") return true;
    if (one !== "*" && other !== "*" && one !== other) return false;
  }
}
