import * as v from "valibot";
import type { Message, Subscription, Transport } from "../../transport/transport.ts";

/**
 * The NATS micro-service protocol (ADR-32 of NATS), by which `nats micro ls`, `info` and `stats` see an actor:
 * it answers `$SRV.<verb>`, `$SRV.<verb>.<name>` and `$SRV.<verb>.<name>.<id>` for each of three verbs.
 */
const VERBS = ["PING", "INFO", "STATS"] as const;
type Verb = (typeof VERBS)[number];

const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/;
const NAME = /^[A-Za-z0-9_-]+$/;

const name = v.pipe(v.string(), v.regex(NAME, 'a service name may only have letters, digits, "-" and "_"'));
const identitySchema = v.object({
  name,
  /** Unique in the mesh; a token of a subject. */
  id: name,
  version: v.pipe(v.string(), v.regex(SEMVER, "a service version must be like 1.2.3")),
  metadata: v.record(v.string(), v.string()),
});

export type ServiceIdentity = v.InferOutput<typeof identitySchema>;

/** One subject that a service listens on, with what happened there so far. Times in nanoseconds. */
export interface Endpoint {
  readonly name: string;
  readonly subject: string;
  readonly queue: string | undefined;
  readonly requests: number;
  readonly errors: number;
  readonly lastError: string;
  readonly processingNs: number;
}

export interface Service {
  /** Read at each question: its metadata may change. */
  readonly identity: ServiceIdentity;
  readonly description: string;
  readonly started: Date;
  /** Called at each question. */
  endpoints(): readonly Endpoint[];
  /** Told as the `data` of the first endpoint's statistics; called at each question. */
  account?(): object | undefined;
}

function infoOf(endpoint: Endpoint) {
  const { name, subject, queue } = endpoint;
  return { name, subject, queue_group: queue ?? "", metadata: {} };
}

function statsOf(endpoint: Endpoint) {
  const { name, subject, queue, requests, errors, lastError, processingNs } = endpoint;
  return {
    name,
    subject,
    queue_group: queue ?? "",
    num_requests: requests,
    num_errors: errors,
    last_error: lastError,
    processing_time: Math.trunc(processingNs),
    average_processing_time: requests === 0 ? 0 : Math.trunc(processingNs / requests),
  };
}

/** The protocol has data for each endpoint; what an actor tells concerns all of it, and is told once. */
function allStatsOf(service: Service) {
  const data = service.account?.();
  return service
    .endpoints()
    .map((endpoint, i) => ({ ...statsOf(endpoint), ...(i === 0 && data !== undefined && { data }) }));
}

function answerTo(verb: Verb, service: Service): object {
  const type = `io.nats.micro.v1.${verb.toLowerCase()}_response`;
  const head = { type, ...service.identity };
  switch (verb) {
    case "PING":
      return head;
    case "INFO":
      return { ...head, description: service.description, endpoints: service.endpoints().map(infoOf) };
    case "STATS":
      return { ...head, started: service.started.toISOString(), endpoints: allStatsOf(service) };
  }
}

/** Makes the service visible until `unsubscribe`. Throws v.ValiError when its identity is not allowed. */
export function announce(transport: Transport, service: Service): Subscription {
  const identity = v.parse(identitySchema, service.identity);
  const encoder = new TextEncoder();
  const subscriptions = VERBS.flatMap((verb) => {
    const answer = (message: Message) =>
      message.respond(encoder.encode(JSON.stringify(answerTo(verb, service))));
    const all = `$SRV.${verb}`;
    const subjects = [all, `${all}.${identity.name}`, `${all}.${identity.name}.${identity.id}`];
    return subjects.map((subject) => transport.subscribe(subject, answer));
  });
  return {
    unsubscribe() {
      for (const subscription of subscriptions) subscription.unsubscribe();
    },
  };
}

/** A name for the endpoint of a pattern, of the characters that the protocol allows. */
export function endpointName(pattern: string): string {
  return pattern
    .replaceAll("*", "any")
    .replaceAll(">", "all")
    .replaceAll(/[^A-Za-z0-9_-]/g, "-");
}
