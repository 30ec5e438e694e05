import { listenForStop } from "../stop-signals.ts";
import { UsageError } from "../usage-error.ts";
import { type ChatOptions, runChat } from "./chat.ts";

/** `flowmesh chat`, as asked for on the command line. */
export type ChatCommandOptions = Omit<ChatOptions, "stdin" | "stdout" | "stderr" | "signal">;

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
    const exitCode = await runChat({ ...options, stdin, stdout, stderr, signal: stop.signal });
    return stop.exitCode ?? exitCode;
  } catch (error) {
    if (stop.exitCode !== undefined) return stop.exitCode;
    throw error;
  } finally {
    stop.release();
    // Whoever reads the pipe slowly gets all of it.
    await new Promise((resolve) => stdout.write("", resolve));
  }
}
