/** A text as an EBNF terminal. */
export function literal(text: string): string {
  let quoted = "";
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (char === '"' || char === "\\") quoted += `\\${char}`;
    else if (code >= 0x20 && code < 0x7f) quoted += char;
    else quoted += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return `"${quoted}"`;
}

/** One of these; parentheses where there are several. */
export const oneOf = (choices: readonly string[]): string =>
  choices.length === 1 ? (choices[0] ?? "") : `(${choices.map((one) => `(${one})`).join(" | ")})`;

/** `{least,greatest}` of it; no upper bound when that is infinite. */
export const times = (what: string, least: number, greatest: number): string =>
  least === 0 && greatest === Number.POSITIVE_INFINITY
    ? `(${what})*`
    : `(${what}){${least},${Number.isFinite(greatest) ? greatest : ""}}`;
