import type { Context } from "hono";
import type { GatewayEnv } from "../gateway.ts";
import type { Page } from "../page.ts";

/** Nothing of other hosts, nothing inline, and no string that becomes markup or a script. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // A browser asks each time whether the file is still the same, which after an update it is not.
  "cache-control": "no-cache",
  vary: "accept-encoding",
};

/** GET of one of the page's files. */
export const pageFile =
  (page: Page, path: string) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const file = (await page()).get(path);
    if (file === undefined) throw new Error(`the page has no file ${path}`);
    const headers = { ...HEADERS, etag: file.etag };
    if (c.req.header("if-none-match") === file.etag) return c.body(null, 304, headers);
    const gzips = /\bgzip\b/.test(c.req.header("accept-encoding") ?? "");
    return c.body(gzips ? file.gzipped : file.body, 200, {
      ...headers,
      "content-type": file.type,
      ...(gzips && { "content-encoding": "gzip" }),
    });
  };
