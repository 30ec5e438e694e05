import type { Epoch, TokenId } from "../decoding/ids.ts";
import type { FlowEffect } from "../decoding/session-flow.ts";
import { encodeSegment } from "../transport/frame.ts";
import { draftSubject, stageSubject } from "../transport/subjects.ts";
import type { Transport } from "../transport/transport.ts";
import {
  type BeginMessage,
  type ExpandMessage,
  encodeJson,
  type OpenMessage,
  type SessionSpec,
} from "./messages.ts";

export interface SessionOutletOptions {
  readonly mesh: string;
  readonly sid: string;
  readonly request: OpenMessage;
  readonly transport: Transport;
}

/** What stages are told beside what the session was opened with; see SessionSpec. */
export interface SessionState {
  readonly journal: readonly TokenId[];
  /** The first of them, which are not sent. */
  readonly reused: number;
  readonly prunes: boolean;
  readonly features: boolean;
}

export const lastPositionOf = ({ prompt, maxTokens }: OpenMessage): number => prompt.length + maxTokens - 1;

type Effect<Type extends FlowEffect["type"]> = Extract<FlowEffect, { type: Type }>;

/** Puts what a session's flow wants into messages, to the first stage and to the drafter of an epoch. */
export class SessionOutlet {
  readonly #options: SessionOutletOptions;

  constructor(options: SessionOutletOptions) {
    this.#options = options;
  }

  begin(epoch: Epoch, { generation, tokens, reused }: Effect<"begin">): void {
    const { sampling, prompt } = this.#options.request;
    const promptTokens = prompt.length;
    const begin: BeginMessage = { generation, tokens: [...tokens], promptTokens, sampling, reused };
    this.#toDrafter(epoch, "begin", begin);
  }

  expand(epoch: Epoch, { generation, base, position, path, size }: Effect<"expand">): void {
    const expand: ExpandMessage = { generation, base, position, path: [...path], ...size };
    this.#toDrafter(epoch, "expand", expand);
  }

  /** The first segment of a generation tells the stages of the session. */
  segment(epoch: Epoch, effect: Effect<"segment">, session: SessionState): void {
    const { mesh, sid, transport } = this.#options;
    const { type: _, ...segment } = effect;
    const first = segment.sequence === 0 ? { spec: encodeJson(this.#spec(session)) } : {};
    const frame = { kind: "segment", epoch, width: 0, ...segment, ...first } as const;
    const { headers, body } = encodeSegment(frame, "f32");
    transport.publish(stageSubject(mesh, epoch, 0, sid), body, headers);
  }

  #spec({ journal, reused, prunes, features }: SessionState): SessionSpec {
    const { request } = this.#options;
    const { sampling, stopTokens, prompt, reports, topLogprobs, grammar } = request;
    return {
      ...{ sampling, stopTokens, reports, topLogprobs, grammar, prunes, features },
      lastPosition: lastPositionOf(request),
      prefillEnd: journal.length - 1,
      promptTokens: prompt.length,
      ...(reused > 0 && { prefix: journal.slice(0, reused) }),
    };
  }

  #toDrafter(epoch: Epoch, kind: "begin" | "expand", value: unknown): void {
    const { mesh, sid, request, transport } = this.#options;
    const subject = draftSubject(mesh, epoch, sid, request.drafter);
    transport.publish(subject, encodeJson(value), { "Flow-Kind": kind });
  }
}
