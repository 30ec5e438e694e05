import { InvalidArgumentError, Option } from "commander";

/** A whole number within bounds, both included. */
export function wholeNumber(least: number, greatest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > greatest) {
      throw new InvalidArgumentError(`It must be a whole number from ${least} to ${greatest}.`);
    }
    return value;
  };
}

/** A decimal number within bounds, both included. */
export function decimalNumber(least: number, greatest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d*\.?\d+$/.test(text) || value < least || value > greatest) {
      throw new InvalidArgumentError(`It must be a number from ${least} to ${greatest}.`);
    }
    return value;
  };
}

/** Numbers within bounds, separated by commas. */
export function numberList(least: number, greatest: number): (text: string) => number[] {
  return (text) => text.split(",").map(decimalNumber(least, greatest));
}

/** Part of every subject, so it must be one lower-case NATS token. */
export function meshName(text: string): string {
  if (!/^[a-z0-9][a-z0-9_-]{0,31}$/.test(text)) {
    throw new InvalidArgumentError(
      "It must be 1 to 32 characters of a-z, 0-9, '-' and '_', starting with a letter or digit.",
    );
  }
  return text;
}

/** An option with a fixed set of values. */
export function choice(flags: string, description: string, values: readonly string[]): Option {
  return new Option(flags, description).choices([...values]);
}
