import { InvalidArgumentError, Option } from "commander";
import type { LayerPin } from "../actors/mesh/records.ts";
import { PolicyError, parsePolicy } from "../decoding/policies/registry.ts";

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

/** A decimal number within bounds, both included; it may be negative if the bounds allow it. */
export function decimalNumber(least: number, greatest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d*\.?\d+$/.test(text) || value < least || value > greatest) {
      throw new InvalidArgumentError(`It must be a number from ${least} to ${greatest}.`);
    }
    return value;
  };
}

/** A TCP port. */
export const portNumber = wholeNumber(1, 65_535);

/** Numbers within bounds, separated by commas. */
export function numberList(least: number, greatest: number): (text: string) => number[] {
  return (text) => text.split(",").map(decimalNumber(least, greatest));
}

/** A policy by its name, with parameters or without. */
export function policySpec(text: string): string {
  try {
    parsePolicy(text);
    return text;
  } catch (error) {
    if (error instanceof PolicyError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
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

/** Parts of a list, each as `parse` takes it; at least one, and none twice. */
export function listOf<T>(separator: RegExp, parse: (text: string) => T): (text: string) => T[] {
  return (text) => {
    const parts = new Set(text.split(separator).filter((part) => part !== ""));
    if (parts.size === 0) throw new InvalidArgumentError("It must name at least one.");
    return [...parts].map(parse);
  };
}

/** Device models by name or file: what they are is checked when they are read. */
export const deviceList = listOf(/,/, (text) => text);

/** Policies, whose parameters hold commas. */
export const policyList = listOf(/[\s;]+/, policySpec);

/** One NATS token, as a host's name must be. */
export function hostName(text: string): string {
  if (/^[a-z0-9_-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("It must be 1 to 64 characters of a-z, 0-9, '-' and '_'.");
}

const SIZE_UNITS: Readonly<Record<string, number>> = { m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** `2GB`, `1.5g` or `512MiB`, in bytes. */
export function memorySize(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)([mgt])(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (SIZE_UNITS[unit.toLowerCase()] ?? Number.NaN));
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError("It must be a size like 512MB or 2GB.");
}

/** `gpu=no,site=attic` */
export function hostLabels(text: string): Record<string, string> {
  const pairs = text.split(",").map((pair) => /^([a-z0-9_-]+)=([a-z0-9_-]+)$/.exec(pair));
  const labels = pairs.flatMap((pair) => (pair === null ? [] : [[pair[1], pair[2]]]));
  if (labels.length === pairs.length) return Object.fromEntries(labels);
  throw new InvalidArgumentError("It must be like site=attic,gpu=no, in lower case.");
}

/** `0-3:site=attic`, several separated by commas; layers count from 0, both ends included. */
export function layerPins(text: string): LayerPin[] {
  return text.split(",").map((pin) => {
    const [, first, last = first, label, value] =
      /^(\d+)(?:-(\d+))?:([a-z0-9_-]+)=([a-z0-9_-]+)$/.exec(pin) ?? [];
    if (label === undefined || value === undefined || Number(last) < Number(first)) {
      throw new InvalidArgumentError("It must be like 0-3:site=attic (layers count from 0).");
    }
    return { firstLayer: Number(first), endLayer: Number(last) + 1, label, value };
  });
}
