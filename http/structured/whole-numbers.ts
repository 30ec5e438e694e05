/** More digits than a double holds exactly are not written. */
export const DIGITS_MAX = 15;
const LARGEST = 10 ** DIGITS_MAX - 1;

/** EBNF of the whole numbers from `least` to `greatest`, both of which may be infinite; undefined: of none. */
export function wholeNumbers(least: number, greatest: number): string | undefined {
  const low = Math.max(least, -LARGEST);
  const high = Math.min(greatest, LARGEST);
  const parts: string[] = [];
  if (low < 0 && low <= high) {
    const negative = naturals(Math.max(1, -high), -low);
    if (negative !== undefined) parts.push(`"-" ${negative}`);
  }
  if (high >= 0 && low <= high) {
    const natural = naturals(Math.max(0, low), high);
    if (natural !== undefined) parts.push(natural);
  }
  return parts.length === 0 ? undefined : `(${parts.join(" | ")})`;
}

/** From `low` to `high`, neither negative: by number of digits, then by the digits that both ends share. */
export function naturals(low: number, high: number): string | undefined {
  if (low > high) return undefined;
  const parts: string[] = [];
  // Lengths of which all numbers are in are one part: xgrammar takes what it should not where there are many parts.
  let [shortest, longest] = [0, 0];
  for (let digits = String(low).length; digits <= String(high).length; digits++) {
    const [least, greatest] = [digits === 1 ? 0 : 10 ** (digits - 1), 10 ** digits - 1];
    if (digits > 1 && low <= least && greatest <= high) {
      shortest ||= digits;
      longest = digits;
    } else parts.push(...sameLength(String(Math.max(low, least)), String(Math.min(high, greatest))));
  }
  if (longest > 0) parts.push(`[1-9] [0-9]{${shortest - 1},${longest - 1}}`);
  return `(${parts.join(" | ")})`;
}

/** Texts of digits from `low` to `high`, as long as both. */
function sameLength(low: string, high: string): string[] {
  if (low === high) return [`"${low}"`];
  const rest = low.length - 1;
  const [first, last] = [Number(low[0]), Number(high[0])];
  if (rest === 0) return [`[${first}-${last}]`];
  if (first === last) return sameLength(low.slice(1), high.slice(1)).map((one) => `"${first}" ${one}`);
  const parts: string[] = [];
  const isWholeLow = /^0*$/.test(low.slice(1));
  const isWholeHigh = /^9*$/.test(high.slice(1));
  if (!isWholeLow)
    parts.push(...sameLength(low.slice(1), "9".repeat(rest)).map((one) => `"${first}" ${one}`));
  const [from, to] = [isWholeLow ? first : first + 1, isWholeHigh ? last : last - 1];
  if (from <= to) parts.push(`[${from}-${to}] [0-9]{${rest}}`);
  if (!isWholeHigh)
    parts.push(...sameLength("0".repeat(rest), high.slice(1)).map((one) => `"${last}" ${one}`));
  return parts;
}
