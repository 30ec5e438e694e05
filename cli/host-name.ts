import { hostname } from "node:os";

/** The machine's name as one token of a subject. */
export function machineName(): string {
  const name = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9_-]+/g, "-")
    .slice(0, 48);
  return name === "" ? "host" : name;
}
