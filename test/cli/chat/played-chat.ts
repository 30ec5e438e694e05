import { PassThrough } from "node:stream";
import { type ChatOptions, runChat } from "../../../cli/chat/chat.ts";
import type { ScriptedSessions } from "../../http/scripted-sessions.ts";

export const FIGURES =
  /^(\d+) tokens in \d+\.\d s: \d+\.\d tokens\/s \| first after \d+\.\d\d s \| (\d+\.\d\d) tokens per commit/m;

/** A terminal of the test's own: what was written, and a promise for text that is to appear. */
class Screen extends PassThrough {
  text = "";
  readonly isTTY: boolean;

  constructor(isTTY = false) {
    super();
    this.isTTY = isTTY;
    this.on("data", (chunk: Buffer) => {
      this.text += chunk.toString();
      this.emit("shown");
    });
  }

  async shows(wanted: string | RegExp): Promise<void> {
    while (this.text.search(wanted) < 0) await new Promise((resolve) => this.once("shown", resolve));
  }
}

/** A chat whose terminal is the test's. */
export function chat(url: string, more: Partial<ChatOptions> = {}, isTTY = false) {
  const stdin = Object.assign(new PassThrough(), { isTTY });
  const stdout = new Screen(isTTY);
  const stderr = new Screen();
  const stop = new AbortController();
  const done = runChat({ url, model: "default", stdin, stdout, stderr, signal: stop.signal, ...more });
  return { stdin, stdout, stderr, stop, done };
}

/** Prompts of the sessions so far. */
export const promptsOf = (sessions: ScriptedSessions): string[] =>
  sessions.opened.map(({ request }) => new TextDecoder().decode(Uint8Array.from(request.prompt)));
