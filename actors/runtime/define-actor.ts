import * as v from "valibot";
import { checkPattern, patternsOverlap, subjectMatches } from "../../transport/subject-match.ts";
import type { Message } from "../../transport/transport.ts";
import type { Actor, ActorContext, ActorDefinition, Lane } from "./actor.ts";
import { respondError } from "./service-error.ts";

type Schema = v.GenericSchema;

/** What an actor does with the JSON messages of one pattern. */
export interface Reaction<Payload extends Schema> {
  /** Default "normal". */
  readonly lane?: Lane;
  /** Members of one queue group share the messages. */
  readonly queue?: string;
  readonly schema: Payload;
  /** What it gives back (or its promise) is the answer, as JSON, if the sender waits for one. An error is a crash. */
  handle(payload: v.InferOutput<Payload>, context: ActorContext, message: Message): unknown;
}

export interface ActorOptions<Schemas extends Record<string, Schema>> {
  readonly name: string;
  readonly description: string;
  readonly mailboxCapacity?: number;
  /** By pattern; no two patterns may match the same subject. */
  readonly on: { readonly [Pattern in keyof Schemas]: Reaction<Schemas[Pattern]> };
  /** Runs before the first message of each life of the actor: the place to reset state and set timers. */
  readonly start?: (context: ActorContext) => void | Promise<void>;
  /** Runs after the last one. */
  readonly stop?: () => void | Promise<void>;
}

/**
 * An actor that speaks JSON, from one schema and function a pattern. A message that is no JSON, or does not
 * fit its schema, never reaches `handle`: its sender gets error 400 with the reason if it waits for an answer.
 *
 * @example
 * export default defineActor({
 *   name: "greeter",
 *   description: "Says hello",
 *   on: {
 *     "app.greet.*": {
 *       schema: v.object({ name: v.string() }),
 *       handle: ({ name }) => ({ text: `Hello, ${name}!` }),
 *     },
 *   },
 * });
 */
export function defineActor<const Schemas extends Record<string, Schema>>(
  options: ActorOptions<Schemas>,
): ActorDefinition {
  const { name, description, mailboxCapacity } = options;
  // Each reaction fits its own schema, as the type above ensures; a list of them can't say so any more.
  const reactions: [string, Reaction<Schema>][] = Object.entries<Reaction<Schema>>(options.on);
  checkPatterns(reactions.map(([pattern]) => pattern));
  return {
    name,
    description,
    ...(mailboxCapacity !== undefined && { mailboxCapacity }),
    async start(context): Promise<Actor> {
      await options.start?.(context);
      for (const [pattern, { lane = "normal", queue }] of reactions) {
        context.listen(pattern, queue === undefined ? { lane } : { lane, queue });
      }
      return {
        receive: (message) => react(reactions, context, message),
        ...(options.stop !== undefined && { stop: options.stop }),
      };
    },
  };
}

function checkPatterns(patterns: readonly string[]): void {
  for (const [index, pattern] of patterns.entries()) {
    checkPattern(pattern);
    const other = patterns.slice(0, index).find((earlier) => patternsOverlap(earlier, pattern));
    if (other !== undefined) {
      throw new TypeError(`patterns "${other}" and "${pattern}" overlap: a message could go to both`);
    }
  }
}

async function react(
  reactions: readonly [string, Reaction<Schema>][],
  context: ActorContext,
  message: Message,
): Promise<void> {
  const [, reaction] = reactions.find(([pattern]) => subjectMatches(pattern, message.subject)) ?? [];
  if (reaction === undefined) return;
  const parsed = parse(reaction.schema, message.body);
  if ("problem" in parsed) {
    const text = `message on ${message.subject} is refused: ${parsed.problem}`;
    if (message.expectsReply) respondError(message, 400, text);
    else context.log.write("warn", text);
    return;
  }
  const answer = await reaction.handle(parsed.payload, context, message);
  if (answer !== undefined && message.expectsReply) {
    message.respond(new TextEncoder().encode(JSON.stringify(answer)));
  }
}

function parse(schema: Schema, body: Uint8Array): { payload: unknown } | { problem: string } {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    return { problem: `not JSON (${error instanceof Error ? error.message : error})` };
  }
  const result = v.safeParse(schema, json);
  if (result.success) return { payload: result.output };
  const issues = result.issues.map((issue) =>
    [v.getDotPath(issue), issue.message].filter(Boolean).join(": "),
  );
  return { problem: issues.join("; ") };
}
