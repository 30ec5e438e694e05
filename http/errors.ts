import type { ContentfulStatusCode } from "hono/utils/http-status";
import { SessionError } from "../actors/session-port.ts";

const BUSY_RETRY_SECONDS = 1;
const NOT_READY_RETRY_SECONDS = 3;

/** Nobody reads this status: the client is gone. The number is nginx's, and shows in the metrics. */
const CLIENT_CLOSED_REQUEST = 499;

/** OpenAI's error object; `code` and `param` are strings or null, never absent. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

interface ApiErrorDetail {
  readonly type?: string;
  readonly code?: string;
  readonly param?: string;
  readonly retryAfterSeconds?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** An answer other than success, in the words of OpenAI's API. */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;

  constructor(status: number, message: string, detail: ApiErrorDetail = {}) {
    super(message, { cause: detail.cause });
    this.name = "ApiError";
    this.status = status as ContentfulStatusCode;
    this.headers = {
      ...detail.headers,
      ...(detail.retryAfterSeconds === undefined ? {} : { "retry-after": `${detail.retryAfterSeconds}` }),
    };
    const type = detail.type ?? (status < 500 ? "invalid_request_error" : "server_error");
    this.body = { error: { message, type, param: detail.param ?? null, code: detail.code ?? null } };
  }
}

export const invalidRequest = (message: string, param?: string, code = "invalid_value"): ApiError =>
  new ApiError(400, message, param === undefined ? { code } : { code, param });

export const clientGone = (): ApiError =>
  new ApiError(CLIENT_CLOSED_REQUEST, "the client closed the request");

/** The one place where an error becomes a response. An error of unknown kind keeps its text to the log. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof SessionError) return fromSessionError(error);
  return new ApiError(500, "internal error; the gateway's log has more under this x-request-id", {
    code: "internal_error",
    cause: error,
  });
}

function fromSessionError(error: SessionError): ApiError {
  const cause = error;
  switch (error.code) {
    case "busy":
      return new ApiError(429, error.message, {
        type: "rate_limit_error",
        code: "rate_limit_exceeded",
        retryAfterSeconds: BUSY_RETRY_SECONDS,
        cause,
      });
    case "not_ready":
      return new ApiError(503, error.message, {
        code: "not_ready",
        retryAfterSeconds: NOT_READY_RETRY_SECONDS,
        cause,
      });
    case "invalid":
      return new ApiError(400, error.message, {
        code: "invalid_value",
        cause,
        ...(error.param === undefined ? {} : { param: error.param }),
      });
    case "failed":
      return new ApiError(500, error.message, { code: "generation_failed", cause });
  }
}
