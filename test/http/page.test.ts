import { describe, expect, test } from "bun:test";
import { PAGE_PATHS } from "../../http/page.ts";
import { pageOnce } from "../../web/build.ts";
import { ServedGateway } from "./served-gateway.ts";

/** What a first visit loads, compressed. */
const PAGE_BYTES_MAX = 45_000;

const page = pageOnce();

describe("the page", () => {
  test("is served at the root, with all that it refers to", async () => {
    await using gateway = new ServedGateway(undefined, { page });
    const response = await fetch(gateway.url);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const html = await response.text();
    const referred = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => `/${path}`);
    expect(referred.toSorted()).toEqual(PAGE_PATHS.slice(1).toSorted());
    for (const path of referred) {
      const file = await fetch(`${gateway.url}${path}`);
      expect(file.status).toBe(200);
      expect(file.headers.get("x-content-type-options")).toBe("nosniff");
      expect((await file.bytes()).length).toBeGreaterThan(100);
    }
  });

  test("lets nothing in from elsewhere, and is small", async () => {
    await using gateway = new ServedGateway(undefined, { page });
    const policy = (await fetch(gateway.url)).headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    let bytes = 0;
    for (const { gzipped } of (await page()).values()) bytes += gzipped.length;
    expect(bytes).toBeLessThan(PAGE_BYTES_MAX);
    const files = await page();
    const style = new TextDecoder().decode(files.get("/page.css")?.body);
    expect(style).not.toMatch(/url\(|@import/);
  });

  test("is sent again only when it has changed", async () => {
    await using gateway = new ServedGateway(undefined, { page });
    const etag = (await fetch(`${gateway.url}/page.js`)).headers.get("etag") ?? "";
    const again = await fetch(`${gateway.url}/page.js`, { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe("");
    const other = await fetch(`${gateway.url}/page.js`, { headers: { "if-none-match": '"other"' } });
    expect(other.status).toBe(200);
  });

  test("is the same compressed and not", async () => {
    await using gateway = new ServedGateway(undefined, { page });
    const read = async (encoding: string) => {
      const init = { headers: { "accept-encoding": encoding }, decompress: false };
      const response = await fetch(`${gateway.url}/page.js`, init);
      return { encoding: response.headers.get("content-encoding"), body: await response.bytes() };
    };
    const [plain, packed] = [await read("identity"), await read("gzip, br")];
    expect([plain.encoding, packed.encoding]).toEqual([null, "gzip"]);
    expect(Buffer.from(Bun.gunzipSync(packed.body))).toEqual(Buffer.from(plain.body));
    expect(packed.body.length).toBeLessThan(plain.body.length / 2);
  });
});
