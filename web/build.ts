import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Page, PageFile } from "../http/page.ts";

const FOLDER = import.meta.dir;

/** The page, bundled when it is first asked for: a start that nobody browses pays nothing, and later ones no more. */
export function pageOnce(): Page {
  let page: Promise<ReadonlyMap<string, PageFile>> | undefined;
  return () => {
    page ??= buildPage();
    return page;
  };
}

async function buildPage(): Promise<ReadonlyMap<string, PageFile>> {
  const script = await bundle("main.tsx");
  const style = await bundle("page.css");
  return new Map([
    ["/", toFile("text/html; charset=utf-8", await read("index.html"))],
    ["/page.js", toFile("text/javascript; charset=utf-8", script)],
    ["/page.css", toFile("text/css; charset=utf-8", style)],
    ["/icon.svg", toFile("image/svg+xml", await read("icon.svg"))],
  ]);
}

const read = (name: string): Promise<Uint8Array<ArrayBuffer>> => Bun.file(join(FOLDER, name)).bytes();

async function bundle(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const { outputs } = await Bun.build({
    entrypoints: [join(FOLDER, name)],
    target: "browser",
    minify: true,
    jsx: { development: false },
  });
  const [output] = outputs;
  if (output === undefined) throw new Error(`nothing came of web/${name}`);
  return new Uint8Array(await output.arrayBuffer());
}

function toFile(type: string, body: Uint8Array<ArrayBuffer>): PageFile {
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  return { type, body, gzipped: Bun.gzipSync(body, { level: 9 }), etag };
}
