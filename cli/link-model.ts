import { InvalidArgumentError } from "commander";
import type { LinkModel, NamedLink } from "../transport/link-model.ts";

const MBPS_BY_UNIT: Readonly<Record<string, number>> = { kbit: 1e-3, mbit: 1, gbit: 1e3 };
const DELAY_MS_MAX = 10_000;

/** `20ms`, `1ms/150mbit`, `0ms/1gbit`: delay, and rate if there is one. */
export function linkModel(text: string): LinkModel {
  const [, delay, rate, unit] = /^(\d*\.?\d+)ms(?:\/(\d*\.?\d+)([kmg]bit))?$/.exec(text) ?? [];
  if (delay === undefined) {
    throw new InvalidArgumentError(
      "It must be a delay like 20ms, or delay and rate like 1ms/150mbit (kbit, mbit or gbit a second).",
    );
  }
  const delayMs = Number(delay);
  if (delayMs > DELAY_MS_MAX) {
    throw new InvalidArgumentError(`The delay must be from 0 to ${DELAY_MS_MAX} ms.`);
  }
  if (rate === undefined) return { delayMs };
  const mbps = Number(rate) * (MBPS_BY_UNIT[unit ?? ""] ?? Number.NaN);
  if (!(mbps > 0)) throw new InvalidArgumentError("The rate must be more than 0; leave it out for no limit.");
  return { delayMs, mbps };
}

/** The same, or `none`, with the name that it was given. */
export function namedLink(text: string): NamedLink {
  return { name: text, ...(text === "none" ? { delayMs: 0 } : linkModel(text)) };
}
