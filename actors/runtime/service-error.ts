import type { Message } from "../../transport/transport.ts";

/** How an answer says that it is an error: the two headers of the NATS micro-service protocol (ADR-32). */
const TEXT_HEADER = "Nats-Service-Error";
const CODE_HEADER = "Nats-Service-Error-Code";
const TEXT_LENGTH_MAX = 1000;

/** What an actor answered instead of doing what was asked. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  /** As in HTTP: 400 what was asked is wrong, 500 the actor failed, 503 it has too much to do. */
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

/** Answers with an error, if the sender waits for an answer. */
export function respondError(message: Message, code: number, text: string): void {
  const line = text.replaceAll(/[^ -~]+/g, " ").slice(0, TEXT_LENGTH_MAX);
  message.respond(new Uint8Array(0), { [TEXT_HEADER]: line, [CODE_HEADER]: String(code) });
}

/** The error that an answer carries, if it does. */
export function errorOf(answer: Message): ServiceError | undefined {
  const text = answer.headers[TEXT_HEADER];
  if (text === undefined) return undefined;
  const code = Number(answer.headers[CODE_HEADER]);
  return new ServiceError(Number.isInteger(code) ? code : 500, text);
}
