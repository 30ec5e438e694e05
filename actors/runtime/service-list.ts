import * as v from "valibot";
import type { Transport } from "../../transport/transport.ts";

/** How long answers to "who is there" are collected. */
const ANSWER_MS = 300;

const identity = { name: v.string(), id: v.string(), metadata: v.record(v.string(), v.string()) };
const infoSchema = v.object(identity);
const statsSchema = v.object({
  ...identity,
  endpoints: v.array(v.object({ processing_time: v.number(), data: v.optional(v.unknown()) })),
});

export type ListedService = v.InferOutput<typeof infoSchema>;

export interface ServiceStats extends ListedService {
  readonly busyMs: number;
  /** What the actor tells of itself, see Actor.account. */
  readonly account: unknown;
}

/**
 * Asks every service on the server who it is, by the NATS micro-service protocol; gives them by name. Those of other
 * programs are among them, and have other metadata; answers that are not of the protocol are left out.
 */
export function listServices(transport: Transport): Promise<ListedService[]> {
  return ask(transport, "INFO", infoSchema);
}

/** The same with what each has done since it was started. */
export async function listServiceStats(transport: Transport): Promise<ServiceStats[]> {
  const services = await ask(transport, "STATS", statsSchema);
  return services.map(({ endpoints, ...service }) => ({
    ...service,
    busyMs: endpoints.reduce((sum, endpoint) => sum + endpoint.processing_time, 0) / 1e6,
    account: endpoints.find(({ data }) => data !== undefined)?.data,
  }));
}

async function ask<Service extends { readonly name: string }>(
  transport: Transport,
  verb: "INFO" | "STATS",
  schema: v.GenericSchema<unknown, Service>,
): Promise<Service[]> {
  const answers = await transport.requestMany(`$SRV.${verb}`, new Uint8Array(0), { timeoutMs: ANSWER_MS });
  const decoder = new TextDecoder();
  const answerSchema = v.pipe(v.string(), v.parseJson(), schema);
  return answers
    .map(({ body }) => v.safeParse(answerSchema, decoder.decode(body)))
    .flatMap(({ success, output }) => (success ? [output] : []))
    .sort((a, b) => a.name.localeCompare(b.name));
}
