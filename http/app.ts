import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { matchedRoutes } from "hono/route";
import { secureHeaders } from "hono/secure-headers";
import { authentication } from "./authentication.ts";
import { ApiError, toApiError } from "./errors.ts";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import { PAGE_PATHS } from "./page.ts";
import { chatCompletions } from "./routes/chat-completions.ts";
import { completions } from "./routes/completions.ts";
import { health } from "./routes/health.ts";
import { live } from "./routes/live.ts";
import { metrics } from "./routes/metrics.ts";
import { getModel, listModels } from "./routes/models.ts";
import { openapi } from "./routes/openapi.ts";
import { pageFile } from "./routes/page.ts";

/** What hono sets otherwise is for pages, which have their own (routes/page.ts), or needs TLS. */
const SECURE_HEADERS = { strictTransportSecurity: false, crossOriginResourcePolicy: false } as const;
const EXPOSED_HEADERS = ["x-request-id", "retry-after"];

/** The OpenAI-compatible gateway as a fetch function: `app.fetch(request, bindings)`. */
export function createApp(gateway: Gateway): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>();
  const created = Math.floor(Date.now() / 1000);

  app.use(async (c, next) => {
    await next();
    // Unknown paths share one label: a stranger's URLs must not grow the metrics.
    const path = matchedRoutes(c).at(-1)?.path ?? "/*";
    const route = path === "/*" ? "unmatched" : path.replace(/\{.*\}$/, "");
    gateway.metrics.countRequest(c.req.method, route, c.res.status);
  });
  app.use(requestId());
  app.use(secureHeaders(SECURE_HEADERS));
  if (gateway.allowedOrigins.length > 0) {
    app.use("/v1/*", cors({ origin: [...gateway.allowedOrigins], exposeHeaders: EXPOSED_HEADERS }));
  }
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const allow = methods.join(", ");
        return toResponse(
          c,
          new ApiError(405, `this path answers to ${allow} only`, {
            code: "method_not_allowed",
            headers: { allow },
          }),
        );
      },
    }),
  );

  const withKey = authentication(gateway.keys, gateway.clock);
  for (const paths of ["/v1/*", "/live", "/metrics"]) app.use(paths, withKey);
  app.post("/v1/chat/completions", chatCompletions(gateway));
  app.post("/v1/completions", completions(gateway));
  app.get("/v1/models", listModels(gateway, created));
  app.get("/v1/models/:id{.+}", getModel(gateway, created));
  app.get("/health", health(gateway));
  app.get("/metrics", metrics(gateway));
  app.get("/live", live(gateway));
  app.get("/openapi.json", openapi());
  for (const path of PAGE_PATHS) app.get(path, pageFile(gateway.page, path));

  app.notFound((c) => {
    const message = `there is nothing at ${c.req.path}; the API is below /v1`;
    return toResponse(c, new ApiError(404, message, { code: "not_found" }));
  });
  app.onError((error, c) => {
    const apiError = toApiError(error);
    if (apiError.status >= 500 && apiError.status !== 503) {
      gateway.log.write("error", "request failed", {
        request: c.var.requestId,
        path: c.req.path,
        error: error.stack ?? String(error),
      });
    }
    return toResponse(c, apiError);
  });
  return app;
}

// Through the context, so that headers set so far (x-request-id) stay.
const toResponse = (c: Context, error: ApiError): Response =>
  c.json(error.body, error.status, { ...error.headers });
