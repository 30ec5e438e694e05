import type { Context } from "hono";
import type { PipelineStatus, SessionRequest } from "../actors/session-port.ts";
import { envelope, extension, toMicroseconds, usage } from "./account.ts";
import { toApiError } from "./errors.ts";
import { eventStream } from "./event-stream.ts";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import type { Generation, GenerationResult, Piece } from "./generation.ts";
import type { LogprobsForm } from "./logprobs.ts";
import type { GenerationParams } from "./schemas.ts";

export type Fields = Readonly<Record<string, unknown>>;
export type FinishReason = GenerationResult["finishReason"] | "tool_calls";

/** Turns one choice's text into the fields that carry it. */
export interface ChoiceWriter {
  /** Choice fields of the chunks that carry this piece of the text, in order; maybe none. */
  push(text: string): readonly Fields[];
  /** Choice fields of what was held back; the text has ended. */
  end(): readonly Fields[];
  /** Choice fields of the whole; after `end`. */
  whole(): Fields;
  /** What the choice ended with, given how its text ended. */
  finishReason(reason: GenerationResult["finishReason"]): FinishReason;
}

/** What differs between the two endpoints' replies. */
export interface ReplyShape {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** Choice fields of the chunk that a stream begins with; absent when it begins with text. */
  readonly opening?: Fields;
  /** Choice fields of a stream's last chunk of a choice. */
  readonly closing: Fields;
  readonly logprobs: LogprobsForm;
  writer(): ChoiceWriter;
}

export interface Reply {
  readonly shape: ReplyShape;
  readonly params: GenerationParams;
  readonly status: PipelineStatus;
  /** Of the first choice; the others differ in their seeds only. */
  readonly request: SessionRequest;
  readonly requestedAt: number;
  /** One a choice, in the order of their indices. */
  readonly generations: readonly Generation[];
}

/** Answers with one JSON object, or with an event stream when the request asks for one. */
export async function respond(c: Context<GatewayEnv>, gateway: Gateway, reply: Reply): Promise<Response> {
  if (reply.params.stream) return streamed(c, gateway, reply);
  const choices = await allOrNone(reply, (generation, index) =>
    wholeChoice(gateway, reply, generation, index),
  );
  const results = choices.map(({ result }) => result);
  const commits = choices.flatMap(({ commits: notes }) => notes);
  return c.json({
    ...envelope(reply),
    object: reply.shape.object,
    choices: choices.map(({ fields }) => fields),
    usage: usage(reply, results),
    flowmesh: extension(gateway, reply, results, commits),
  });
}

async function wholeChoice(
  gateway: Gateway,
  { shape, params }: Reply,
  generation: Generation,
  index: number,
) {
  const writer = shape.writer();
  const logprobs = shape.logprobs(gateway.text);
  const pieces: Piece[] = [];
  const result = await generation.run((piece) => {
    pieces.push(piece);
    writer.push(piece.text);
  });
  writer.end();
  pieces.push(result.rest);
  const told = pieces.flatMap((piece) => piece.logprobs);
  const fields = {
    index,
    ...writer.whole(),
    logprobs: params.topLogprobs === undefined ? null : logprobs(told),
    finish_reason: writer.finishReason(result.finishReason),
  };
  return { fields, result, commits: pieces.flatMap(({ commits }) => commits) };
}

function streamed(c: Context<GatewayEnv>, gateway: Gateway, reply: Reply): Response {
  const { generations, params, shape } = reply;
  const head = { ...envelope(reply), object: shape.chunkObject };
  return eventStream(c, {
    clock: gateway.clock,
    onGone: (reason) => {
      for (const generation of generations) generation.leave(reason);
    },
    async produce(send) {
      const unknownUsage = params.includeUsage ? { usage: null } : {};
      const chunk = (choices: readonly Fields[], fields: Fields): Promise<void> =>
        send(JSON.stringify({ ...head, choices, ...fields }));
      const sendChoice: SendChoice = (choice, own = {}) => chunk([choice], { ...unknownUsage, ...own });
      try {
        if (shape.opening) {
          for (const index of generations.keys()) await sendChoice(choice(index, shape.opening));
        }
        const results = await allOrNone(reply, (generation, index) =>
          streamChoice(gateway, reply, generation, index, sendChoice),
        );
        const account = extension(gateway, reply, results);
        if (params.includeUsage) await chunk([], { usage: usage(reply, results), flowmesh: account });
        else if (params.tells.commits || params.tells.timings) await chunk([], { flowmesh: account });
        await send("[DONE]");
      } catch (error) {
        const apiError = toApiError(error);
        if (apiError.status >= 500) {
          gateway.log.write("error", "stream failed", { request: c.var.requestId, error: String(error) });
        }
        await send(JSON.stringify(apiError.body));
      }
    },
  });
}

type SendChoice = (choice: Fields, own?: Fields) => Promise<void>;

async function streamChoice(
  gateway: Gateway,
  { shape, params }: Reply,
  generation: Generation,
  index: number,
  send: SendChoice,
): Promise<GenerationResult> {
  const writer = shape.writer();
  const toLogprobs = shape.logprobs(gateway.text);
  let untold: Piece = { text: "", logprobs: [], commits: [] };
  /** Each chunk of one piece has a part of its text; the first one has the rest of what is to tell. */
  const sendAll = async (chunks: readonly Fields[], reason: FinishReason | null = null): Promise<void> => {
    for (const fields of chunks) {
      const { logprobs, commits } = untold;
      untold = { text: "", logprobs: [], commits: [] };
      const told = logprobs.length > 0 ? toLogprobs(logprobs) : null;
      const note =
        commits.length > 0 && params.tells.commits ? { flowmesh: commitFields(commits, params) } : {};
      await send(choice(index, fields, told, reason), note);
    }
  };
  const add = ({ logprobs, commits }: Piece): void => {
    untold = {
      text: "",
      logprobs: [...untold.logprobs, ...logprobs],
      commits: [...untold.commits, ...commits],
    };
  };
  const result = await generation.run(async (piece) => {
    add(piece);
    await sendAll(writer.push(piece.text));
  });
  await sendAll(writer.end());
  add(result.rest);
  await sendAll([shape.closing], writer.finishReason(result.finishReason));
  return result;
}

/** All choices at once; when one fails, the others are of no use and end. */
async function allOrNone<T>(
  { generations }: Reply,
  run: (generation: Generation, index: number) => Promise<T>,
): Promise<T[]> {
  let failure: { readonly error: unknown } | undefined;
  const running = generations.map(async (generation, index) => {
    try {
      return await run(generation, index);
    } catch (error) {
      failure ??= { error };
      for (const other of generations) if (other !== generation) other.leave("another choice failed");
      throw error;
    }
  });
  await Promise.allSettled(running);
  if (failure !== undefined) throw failure.error;
  return await Promise.all(running);
}

const choice = (
  index: number,
  fields: Fields,
  logprobs: unknown = null,
  finishReason: FinishReason | null = null,
): Fields => ({ index, ...fields, logprobs, finish_reason: finishReason });

function commitFields(commits: Piece["commits"], { tells }: GenerationParams): Fields {
  const tokens = commits.map((note) => note.tokens);
  return {
    commit_tokens: tokens,
    ...(tells.timings && { commit_ms: commits.map(({ ms }) => toMicroseconds(ms)) }),
  };
}
