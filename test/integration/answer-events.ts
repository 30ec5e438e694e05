import { eventData } from "../../http/event-data.ts";

export interface AnswerEvent {
  readonly content: string;
  /** Why the answer ends with this piece. */
  readonly finish: string | undefined;
  /** Of the whole answer, where the event tells them. */
  readonly tokens: number;
}

/** What an error event of an answer says. */
export class AnswerError extends Error {
  override readonly name = "AnswerError";
}

/**
 * The events of a chat's one answer. Throws AnswerError where an event tells of one, and an Error where there is no
 * answer, or one that does not end as it should.
 */
export async function* answerEvents(response: Response): AsyncGenerator<AnswerEvent> {
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  let isDone = false;
  for await (const data of eventData(response.body ?? new ReadableStream())) {
    if (data === "[DONE]") {
      isDone = true;
      continue;
    }
    const { choices, usage, error } = JSON.parse(data);
    if (error) throw new AnswerError(error.message);
    const choice = choices?.[0];
    yield {
      content: choice?.delta.content ?? "",
      finish: choice?.finish_reason ?? undefined,
      tokens: usage?.completion_tokens ?? 0,
    };
  }
  if (!isDone) throw new Error("the stream ended without [DONE]");
}
