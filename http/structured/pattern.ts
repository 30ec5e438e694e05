import { literal, oneOf, times } from "./ebnf.ts";

/** A regular expression that is none, or that has a part outside the supported subset. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

/** Code points, both ends included; ascending, and with gaps between. */
type Ranges = readonly (readonly [number, number])[];

/** EBNF, and the least and greatest number of characters that it stands for. */
interface Part {
  readonly ebnf: string;
  readonly least: number;
  readonly greatest: number;
  /** How often something in it is repeated at most, one repetition inside another multiplied. */
  readonly repeats: number;
}

/** Counts beyond this make grammars that take long to compile. */
const COUNT_MAX = 1000;
const DEPTH_MAX = 50;
const LAST = 0x10ffff;
const ANYTHING = "char*";
/** Sets of characters that take more text than this are written once. */
const RULE_LENGTH_MIN = 60;

/**
 * What may stand between the quotes of a JSON string whose value the regular expression, in the language of
 * ECMA-262 with the flag u, finds something in. Characters that JSON must escape are written in one way. Throws
 * PatternError. `rule` names a rule with that body.
 */
export function patternGrammar(pattern: string, rule: (body: string) => string): Part {
  try {
    new RegExp(pattern, "u");
  } catch (error) {
    throw new PatternError(error instanceof Error ? error.message : String(error));
  }
  return new PatternCompiler(pattern, rule).whole();
}

/** The pattern is known to be a valid one. */
class PatternCompiler {
  readonly #chars: readonly string[];
  #at = 0;
  #depth = 0;

  readonly #rule: (body: string) => string;

  constructor(pattern: string, rule: (body: string) => string) {
    this.#chars = [...pattern];
    this.#rule = rule;
  }

  whole(): Part {
    const part = this.#alternatives(true);
    if (this.#at < this.#chars.length) throw new PatternError(`"${this.#next}" is out of place`);
    return part;
  }

  get #next(): string | undefined {
    return this.#chars[this.#at];
  }

  #take(text: string): boolean {
    const chars = [...text];
    if (!chars.every((char, index) => this.#chars[this.#at + index] === char)) return false;
    this.#at += chars.length;
    return true;
  }

  /** `isWhole`: of the whole pattern, where ^ and $ may stand, and anything around what has none. */
  #alternatives(isWhole: boolean): Part {
    if (++this.#depth > DEPTH_MAX) throw new PatternError(`groups are nested more than ${DEPTH_MAX} deep`);
    const parts = [this.#sequence(isWhole)];
    while (this.#take("|")) parts.push(this.#sequence(isWhole));
    this.#depth--;
    return {
      ebnf: oneOf(parts.map(({ ebnf }) => ebnf)),
      least: Math.min(...parts.map(({ least }) => least)),
      greatest: Math.max(...parts.map(({ greatest }) => greatest)),
      repeats: Math.max(...parts.map(({ repeats }) => repeats)),
    };
  }

  #sequence(isWhole: boolean): Part {
    const beginsFirst = isWhole && this.#take("^");
    const parts: Part[] = [];
    let endsLast = false;
    while (this.#next !== undefined && this.#next !== "|" && this.#next !== ")") {
      if (isWhole && this.#next === "$" && [undefined, "|"].includes(this.#chars[this.#at + 1])) {
        endsLast = this.#take("$");
      } else parts.push(this.#quantified());
    }
    const anything: Part = { ebnf: ANYTHING, least: 0, greatest: Number.POSITIVE_INFINITY, repeats: 1 };
    if (isWhole && !beginsFirst) parts.unshift(anything);
    if (isWhole && !endsLast) parts.push(anything);
    return {
      ebnf: parts.length === 0 ? '""' : parts.map(({ ebnf }) => ebnf).join(" "),
      least: parts.reduce((sum, { least }) => sum + least, 0),
      greatest: parts.reduce((sum, { greatest }) => sum + greatest, 0),
      repeats: Math.max(1, ...parts.map(({ repeats }) => repeats)),
    };
  }

  #quantified(): Part {
    const part = this.#atom();
    const count = this.#quantifier();
    if (count === undefined) return part;
    const [least, greatest] = count;
    const repeats = part.repeats * Math.max(1, Number.isFinite(greatest) ? greatest : least);
    if (repeats > COUNT_MAX) throw new PatternError(`it repeats something more than ${COUNT_MAX} times`);
    const product = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b);
    return {
      ebnf: times(part.ebnf, least, greatest),
      least: product(part.least, least),
      greatest: product(part.greatest, greatest),
      repeats,
    };
  }

  /** Greedy or not makes no difference to what fits. */
  #quantifier(): [number, number] | undefined {
    const rest = this.#chars.slice(this.#at, this.#at + 24).join("");
    const [text, simple, least, comma, greatest] = /^(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??/.exec(rest) ?? [];
    if (text === undefined) return undefined;
    this.#at += text.length;
    if (simple !== undefined) return [simple === "+" ? 1 : 0, simple === "?" ? 1 : Number.POSITIVE_INFINITY];
    const low = Number(least);
    if (comma === undefined) return [low, low];
    return [low, greatest === "" ? Number.POSITIVE_INFINITY : Number(greatest)];
  }

  #atom(): Part {
    const char = this.#next ?? "";
    if (char === "(") return this.#group();
    this.#at++;
    if (char === "[") return this.#char(this.#set());
    if (char === ".") return this.#char(complement([single(0x0a), single(0x0d), [0x2028, 0x2029]]));
    if (char === "\\") return this.#char(this.#escape());
    if (char === "^") throw new PatternError("^ is supported at the beginning only");
    if (char === "$") throw new PatternError("$ is supported at the end only");
    return this.#char([single(char.codePointAt(0) ?? 0)]);
  }

  #char(ranges: Ranges): Part {
    const ebnf = charOf(ranges);
    return {
      ebnf: ebnf.length > RULE_LENGTH_MIN ? this.#rule(ebnf) : ebnf,
      least: 1,
      greatest: 1,
      repeats: 1,
    };
  }

  #group(): Part {
    const rest = this.#chars.slice(this.#at).join("");
    const [opening = "", kind] = /^\((?:\?(:|<[^=!>][^>]*>|.[^:)]?))?/s.exec(rest) ?? [];
    if (kind !== undefined && kind !== ":" && !/^<[^=!]/.test(kind)) {
      throw new PatternError(`(?${kind} is not supported`);
    }
    this.#at += [...opening].length;
    const inner = this.#alternatives(false);
    this.#at++;
    return { ...inner, ebnf: `(${inner.ebnf})` };
  }

  /** After the backslash. */
  #escape(): Ranges {
    const char = this.#next ?? "";
    this.#at++;
    const known = CLASSES[char.toLowerCase()];
    if (known !== undefined && /[dws]/i.test(char)) {
      return char === char.toLowerCase() ? known : complement(known);
    }
    const control = CONTROLS[char];
    if (control !== undefined) return [single(control)];
    if (char === "x") return [single(this.#hex(2))];
    if (char === "u") return [single(this.#unicode())];
    if (char === "c") return [single((this.#chars[this.#at++]?.charCodeAt(0) ?? 0) % 32)];
    if (/[1-9kbBpP]/.test(char)) throw new PatternError(`\\${char} is not supported`);
    return [single(char.codePointAt(0) ?? 0)];
  }

  #hex(length: number): number {
    const digits = this.#chars.slice(this.#at, this.#at + length).join("");
    this.#at += length;
    return Number.parseInt(digits, 16);
  }

  #unicode(): number {
    if (this.#take("{")) {
      const end = this.#chars.indexOf("}", this.#at);
      const code = this.#hex(end - this.#at);
      this.#at++;
      return code;
    }
    const first = this.#hex(4);
    const isPair = first >= 0xd800 && first <= 0xdbff && this.#chars[this.#at] === "\\";
    if (!isPair || this.#chars[this.#at + 1] !== "u" || this.#chars[this.#at + 2] === "{") return first;
    const before = this.#at;
    this.#at += 2;
    const second = this.#hex(4);
    if (second >= 0xdc00 && second <= 0xdfff) return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    this.#at = before;
    return first;
  }

  /** After the opening bracket. */
  #set(): Ranges {
    const isNegated = this.#take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.#take("]")) {
      const first = this.#member();
      const isRange = this.#next === "-" && this.#chars[this.#at + 1] !== "]";
      if (!isRange) {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      const last = this.#member();
      ranges.push([first[0]?.[0] ?? 0, last[0]?.[0] ?? 0]);
    }
    return isNegated ? complement(ranges) : ranges;
  }

  #member(): Ranges {
    const char = this.#next ?? "";
    this.#at++;
    if (char !== "\\") return [single(char.codePointAt(0) ?? 0)];
    // Inside brackets it is a backspace.
    if (this.#take("b")) return [single(8)];
    return this.#escape();
  }
}

const single = (code: number): readonly [number, number] => [code, code];

const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };

const CLASSES: Readonly<Record<string, Ranges>> = {
  d: [[0x30, 0x39]],
  w: [[0x30, 0x39], [0x41, 0x5a], single(0x5f), [0x61, 0x7a]],
  s: [
    [9, 13],
    single(0x20),
    single(0xa0),
    single(0x1680),
    [0x2000, 0x200a],
    [0x2028, 0x2029],
    single(0x202f),
    single(0x205f),
    single(0x3000),
    single(0xfeff),
  ],
};

function complement(ranges: Ranges): Ranges {
  const gaps: (readonly [number, number])[] = [];
  let next = 0;
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (first > next) gaps.push([next, first - 1]);
    next = Math.max(next, last + 1);
  }
  if (next <= LAST) gaps.push([next, LAST]);
  return gaps;
}

/** What JSON has no place for unescaped, in the escape that it is written with; halves of pairs have none. */
const ESCAPED: ReadonlyMap<number, string> = new Map([
  ...Array.from(
    { length: 0x20 },
    (_, code) => [code, JSON.stringify(String.fromCharCode(code)).slice(1, -1)] as const,
  ),
  [0x22, '\\"'],
  [0x5c, "\\\\"],
]);

/** Characters beyond ASCII that a set names one by one, at most; of more, some are left out. */
const NAMED_MAX = 300;

/**
 * Many characters beyond ASCII at once. xgrammar takes a range beyond ASCII as one of bytes, and a range of one byte
 * as a character; so each byte of these has two values or more. Bytes that are no UTF-8 are never drawn (models/grammar/utf8-states.ts).
 */
const BLOCKS: readonly { readonly ranges: Ranges; readonly ebnf: string }[] = [
  { ranges: [[0xc0, 0x7ff]], ebnf: "[\\xc3-\\xdf] [\\x80-\\xbf]" },
  { ranges: [[0x800, 0x1fff]], ebnf: "[\\xe0-\\xe1] [\\x80-\\xbf] [\\x80-\\xbf]" },
  {
    ranges: [
      [0x1040, 0x1fff],
      [0x2040, 0x2fff],
    ],
    ebnf: "[\\xe1-\\xe2] [\\x81-\\xbf] [\\x80-\\xbf]",
  },
  {
    ranges: [
      [0x2080, 0x2fff],
      [0x3080, 0x3fff],
    ],
    ebnf: "[\\xe2-\\xe3] [\\x82-\\xbf] [\\x80-\\xbf]",
  },
  {
    ranges: [
      [0x3040, 0x3fff],
      [0x4040, 0x4fff],
    ],
    ebnf: "[\\xe3-\\xe4] [\\x81-\\xbf] [\\x80-\\xbf]",
  },
  { ranges: [[0x3000, 0x4fff]], ebnf: "[\\xe3-\\xe4] [\\x80-\\xbf] [\\x80-\\xbf]" },
  { ranges: [[0x4000, 0xd7ff]], ebnf: "[\\xe4-\\xed] [\\x80-\\xbf] [\\x80-\\xbf]" },
  { ranges: [[0xe000, 0xffff]], ebnf: "[\\xee-\\xef] [\\x80-\\xbf] [\\x80-\\xbf]" },
  { ranges: [[0x10000, LAST]], ebnf: "[\\xf0-\\xf4] [\\x80-\\xbf] [\\x80-\\xbf] [\\x80-\\xbf]" },
];

const SURROGATES = [0xd800, 0xdfff] as const;

/** EBNF of one character of these, as it is written in JSON. */
function charOf(ranges: Ranges): string {
  const choices: string[] = [];
  const plain = without(ranges, [[0, 0x1f], single(0x22), single(0x5c), [0x80, LAST]]);
  if (plain.length > 0) choices.push(classOf(plain));
  for (const [code, escaped] of ESCAPED) {
    if (ranges.some(([first, last]) => first <= code && code <= last)) choices.push(literal(escaped));
  }
  choices.push(...beyondAscii(without(ranges, [[0, 0x7f], SURROGATES])));
  if (choices.length === 0) throw new PatternError("a set of characters in it is empty");
  return oneOf(choices);
}

function beyondAscii(ranges: Ranges): string[] {
  const blocks = BLOCKS.filter((block) => without(block.ranges, ranges).length === 0);
  const rest = without(
    ranges,
    blocks.flatMap((block) => block.ranges),
  );
  const named: string[] = [];
  for (const [first, last] of rest) {
    for (let code = first; code <= last && named.length < NAMED_MAX; code++) {
      named.push(literal(String.fromCodePoint(code)));
    }
  }
  return [...blocks.map(({ ebnf }) => ebnf), ...named];
}

const without = (ranges: Ranges, others: Ranges): Ranges => complement([...complement(ranges), ...others]);

const classOf = (ranges: Ranges): string =>
  `[${ranges.map(([first, last]) => (first === last ? inClass(first) : `${inClass(first)}-${inClass(last)}`)).join("")}]`;

function inClass(code: number): string {
  const char = String.fromCodePoint(code);
  return /[a-zA-Z0-9]/.test(char) ? char : `\\U${code.toString(16).padStart(8, "0")}`;
}
