import { ChatClient } from "../http/chat-client.ts";
import { runChat } from "./chat.ts";
import { listenForStop } from "./stop-signals.ts";
import { UsageError } from "./usage-error.ts";

/** `flowmesh chat`, as asked for on the command line. */
export interface ChatCommandOptions {
  readonly prompt?: string;
  readonly url: string;
  /** API key, where the gateway wants one. */
  readonly key?: string;
  readonly model?: string;
  readonly policy?: string;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly seed?: number;
  readonly maxTokens?: number;
}

/** Talks with a mesh that is up; gives the exit code. */
export async function chat(options: ChatCommandOptions): Promise<number> {
  const { url } = options;
  if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new UsageError(
      `option '--url <url>' is '${url}'; it must be an http address, such as http://127.0.0.1:8080.`,
    );
  }
  const stop = listenForStop((exitCode) => process.exit(exitCode));
  const { stdin, stdout, stderr } = process;
  try {
    const model = options.model ?? (await servedModel(options, stop.signal));
    await runChat({ ...options, model, stdin, stdout, stderr, signal: stop.signal });
    return stop.exitCode ?? 0;
  } catch (error) {
    if (stop.exitCode !== undefined) return stop.exitCode;
    throw error;
  } finally {
    stop.release();
  }
}

async function servedModel({ url, key }: ChatCommandOptions, signal: AbortSignal): Promise<string> {
  const [model] = await new ChatClient(url, key).models(signal);
  if (model === undefined) throw new NothingServedError(`${url} serves no model at the moment.`);
  return model.id;
}

class NothingServedError extends Error {
  override readonly name = "NothingServedError";
}
