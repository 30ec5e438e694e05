import type { Hono } from "hono";
import type { GatewayEnv } from "./gateway.ts";

/** Answers under way get this long to finish when the server stops. */
const STOP_GRACE_MS = 5000;

/** What answers requests. */
type ServedApp = Pick<Hono<GatewayEnv>, "fetch">;

export interface HttpAddress {
  readonly hostname: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** PEM files; absent: plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export interface HttpServer {
  /** Where it listens, without a slash at the end. */
  readonly url: string;
  /** Takes no new connection, lets answers under way finish within a grace period, then cuts them off. */
  stop(): Promise<void>;
}

/** The address can't be listened on; the message says what to do. */
export class ListenError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = "ListenError";
  }
}

/** Listens at once. Throws ListenError. */
export function serveHttp(app: ServedApp, address: HttpAddress): HttpServer {
  const server = listen(app, address);
  return {
    url: server.url.href.replace(/\/$/, ""),
    async stop() {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const grace = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, STOP_GRACE_MS);
      });
      await Promise.race([server.stop(), grace]);
      clearTimeout(timer);
      await server.stop(true);
    },
  };
}

function listen(app: ServedApp, { hostname, port, tls }: HttpAddress) {
  try {
    return Bun.serve({
      hostname,
      port,
      ...(tls && { tls: { cert: Bun.file(tls.cert), key: Bun.file(tls.key) } }),
      fetch: (request, server) =>
        app.fetch(request, {
          keepOpen: () => server.timeout(request, 0),
          address: server.requestIP(request)?.address,
        }),
    });
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EADDRINUSE") {
      throw new ListenError(
        `port ${port} on ${hostname} is in use: choose another with --port, or stop what listens there`,
        error,
      );
    }
    if (code === "EACCES") {
      throw new ListenError(
        `port ${port} needs rights that this process lacks: choose one above 1023 with --port`,
        error,
      );
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new ListenError(`cannot listen on ${hostname} port ${port}: ${reason}`, error);
  }
}
