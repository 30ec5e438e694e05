import { natsServerPath } from "./nats-server-path.ts";

export interface TestNatsServer {
  readonly url: string;
  readonly port: number;
  /** Ends the process, as a kill -9 would. */
  stop(): Promise<void>;
}

export interface TestNatsOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** Further arguments of nats-server, e.g. `-c` with a configuration file, or `--jetstream` and `--store_dir`. */
  readonly args?: readonly string[];
}

/** A nats-server of its own on a loopback port, for one test or one file of tests. */
export async function startNatsServer(options: TestNatsOptions = {}): Promise<TestNatsServer> {
  const address = ["-a", "127.0.0.1", "-p", String(options.port ?? -1)];
  const child = Bun.spawn([await natsServerPath(), ...address, ...(options.args ?? [])], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const port = await listeningPort(child.stderr);
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Waits for the server to be ready, then goes on reading, so that its log never blocks it. */
async function listeningPort(stderr: ReadableStream<Uint8Array>): Promise<number> {
  const decoder = new TextDecoder();
  const reader = stderr.getReader();
  let log = "";
  while (!log.includes("Server is ready")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`nats-server ended instead of starting:\n${log}`);
    log += decoder.decode(value, { stream: true });
  }
  void (async () => {
    while (!(await reader.read()).done);
  })();
  const port = /client connections on [^:]+:(\d+)/.exec(log)?.[1];
  if (port === undefined) throw new Error(`nats-server did not say where it listens:\n${log}`);
  return Number(port);
}
