import * as v from "valibot";
import type { Transport } from "../../transport/transport.ts";

/** How long answers to "who is there" are collected. */
const ANSWER_MS = 300;

const infoSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ name: v.string(), metadata: v.record(v.string(), v.string()) }),
);

export type ListedService = v.InferOutput<typeof infoSchema>;

/**
 * Asks every service on the server who it is, by the NATS micro-service protocol; gives them by name. Those of other
 * programs are among them, and have other metadata; answers that are not of the protocol are left out.
 */
export async function listServices(transport: Transport): Promise<ListedService[]> {
  const answers = await transport.requestMany("$SRV.INFO", new Uint8Array(0), { timeoutMs: ANSWER_MS });
  const decoder = new TextDecoder();
  return answers
    .map(({ body }) => v.safeParse(infoSchema, decoder.decode(body)))
    .flatMap(({ success, output }) => (success ? [output] : []))
    .sort((a, b) => a.name.localeCompare(b.name));
}
