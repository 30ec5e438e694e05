import type { Context } from "hono";
import {
  type PromptToAdmit,
  readyStatus,
  requireModel,
  requirePolicy,
  requireTokens,
  toSessionRequest,
} from "./admission.ts";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import { openGeneration } from "./generation.ts";
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
  const status = readyStatus(gateway.sessions);
  requireModel(params.model, status);
  requirePolicy(params.policy, status);
  requireTokens(params, gateway.text.vocabularySize);
  const request = toSessionRequest(params, question.encode(), status, gateway.text.endTokens);
  // An open session waits for its turn without a byte sent, and an answer may take its time.
  c.env?.keepOpen?.();
  const generation = await openGeneration(gateway, {
    request,
    stops: params.stops,
    signal: c.req.raw.signal,
    requestedAt,
  });
  return await respond(c, gateway, { shape, params, status, request, generation });
}
