import type { Context } from "hono";
import type { SessionRequest } from "../actors/session-port.ts";
import {
  choiceRequests,
  type PromptToAdmit,
  requireModel,
  requireNumerics,
  requirePolicy,
  requireTokens,
  roomFor,
  toSessionRequest,
} from "./admission.ts";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import { type Generation, openGeneration } from "./generation.ts";
import { type ReplyShape, respond } from "./reply.ts";
import type { GenerationParams } from "./schemas.ts";

export interface Question {
  readonly shape: ReplyShape;
  readonly params: GenerationParams;
  /** Tokenizes the prompt; called once everything else about the request is known to be good. */
  encode(): PromptToAdmit;
}

/** The way that both endpoints share from a parsed request to its reply. */
export async function answer(
  c: Context<GatewayEnv>,
  gateway: Gateway,
  question: Question,
): Promise<Response> {
  const { params, shape } = question;
  const requestedAt = gateway.clock.now();
  // It may wait without a byte sent: for a mesh that changes its coordinator, for its turn, for a long answer.
  c.env?.keepOpen?.();
  const status = await gateway.sessions.serving();
  requireModel(params.model, status);
  requirePolicy(params.policy, status);
  requireNumerics(params.numerics, status);
  requireTokens(params, gateway.text.vocabularySize);
  const request = toSessionRequest(params, question.encode(), status, gateway.text.endTokens);
  const { signal } = c.req.raw;
  const requests = choiceRequests(request, params.choices);
  const client = c.var.keyHash ?? c.env?.address ?? "";
  const { leave } = await gateway.queue.enter({ ...roomFor(requests), client, signal });
  const open = (one: SessionRequest) => {
    const { charge } = c.var;
    const options = { request: one, stops: params.stops, signal, requestedAt, charge, onOver: leave };
    return openGeneration(gateway, options);
  };
  c.var.charge?.(request.prompt.length);
  const generations = await openAll(requests, open);
  return await respond(c, gateway, { shape, params, status, request, requestedAt, generations });
}

/** All of them; when one can't be had, those that could are given up. */
async function openAll(
  requests: readonly SessionRequest[],
  open: (request: SessionRequest) => Promise<Generation>,
): Promise<Generation[]> {
  const opened = await Promise.allSettled(requests.map(open));
  const generations = opened.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = opened.find((one) => one.status === "rejected");
  if (failed === undefined) return generations;
  for (const generation of generations) {
    generation.leave("another choice could not be opened");
    await generation.run(() => {}).catch(() => {});
  }
  throw failed.reason;
}
