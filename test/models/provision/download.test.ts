import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Download, downloadFile } from "../../../models/provision/download.ts";
import { ProvisionError } from "../../../models/provision/provision-error.ts";
import type { Progress } from "../../../models/provision/provision-options.ts";

const CONTENT = crypto.getRandomValues(new Uint8Array(50_000));
const SHA256 = new Bun.CryptoHasher("sha256").update(CONTENT).digest("hex");

/** Raw sockets, because an HTTP library would not send a broken answer. */
let server: Server;
let origin: string;
let folder: string;

const HEAD = "HTTP/1.1 200 OK\r\nConnection: close\r\n";

beforeAll(async () => {
  server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (request) => {
      const path = /^GET (\S+)/.exec(String(request))?.[1] ?? "";
      const length = `Content-Length: ${CONTENT.length}\r\n\r\n`;
      if (path === "/whole") socket.end(Buffer.concat([Buffer.from(HEAD + length), CONTENT]));
      else if (path === "/unsized") socket.end(Buffer.concat([Buffer.from(`${HEAD}\r\n`), CONTENT]));
      else if (path === "/cut")
        socket.end(Buffer.concat([Buffer.from(HEAD + length), CONTENT.subarray(0, 999)]));
      else if (path === "/stalls")
        socket.write(Buffer.concat([Buffer.from(HEAD + length), CONTENT.subarray(0, 999)]));
      else if (path === "/moved")
        socket.end("HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /whole\r\n\r\n");
      else if (path !== "/silent") socket.end(`HTTP/1.1 ${path.slice(1)} No\r\nConnection: close\r\n\r\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (!address || typeof address === "string") throw new Error("no port");
  origin = `http://127.0.0.1:${address.port}`;
});
afterAll(() => {
  server.close();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "download-"));
});
afterEach(() => rm(folder, { recursive: true }));

const fetchTo = (path: string, more: Partial<Download> = {}) =>
  downloadFile({ url: origin + path, target: join(folder, "file"), what: "the file", ...more });

async function failure(path: string, more: Partial<Download> = {}): Promise<string> {
  const error = await fetchTo(path, more).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProvisionError);
  return (error as ProvisionError).message;
}

const entries = () => readdir(folder);

describe("a file that arrives whole", () => {
  test("is stored under its name alone, and its checksum returned", async () => {
    for (const path of ["/whole", "/unsized", "/moved"]) {
      expect(await fetchTo(path)).toEqual({ path: join(folder, "file"), sha256: SHA256 });
      expect(await Bun.file(join(folder, "file")).bytes()).toEqual(CONTENT);
      expect(await entries()).toEqual(["file"]);
    }
  });

  test("has a progress that only grows, up to its size", async () => {
    const heard: Progress[] = [];
    await fetchTo("/whole", { onProgress: (progress) => heard.push(progress) });
    const done = heard.map((progress) => progress.doneBytes);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(heard.at(-1)).toEqual({ what: "the file", doneBytes: CONTENT.length, totalBytes: CONTENT.length });
  });

  test("is whole even when several fetch it at once", async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => fetchTo("/whole", { sha256: SHA256 })));
    expect(new Set(all.map(({ sha256 }) => sha256))).toEqual(new Set([SHA256]));
    expect(await Bun.file(join(folder, "file")).bytes()).toEqual(CONTENT);
    expect(await entries()).toEqual(["file"]);
  });

  test("takes the remains of a killed process away, but not those of a running one", async () => {
    const dead = join(folder, "other.part-dead");
    await Bun.write(dead, "x");
    await utimes(dead, new Date(0), new Date(0));
    await Bun.write(join(folder, "other.part-alive"), "x");
    await fetchTo("/whole");
    expect((await entries()).sort()).toEqual(["file", "other.part-alive"]);
  });
});

describe("a file that does not", () => {
  afterEach(async () => {
    expect(await entries()).toEqual([]);
  });

  test("is refused when it is cut off", async () => {
    expect(await failure("/cut")).toContain(origin);
    expect(await failure("/unsized", { sizeBytes: 60_000 })).toContain("50000 bytes long instead of 60000");
  });

  test("is refused with both checksums when they differ", async () => {
    const message = await failure("/whole", { sha256: "0".repeat(64) });
    expect(message).toContain(`${SHA256} instead of ${"0".repeat(64)}`);
  });

  test("is refused when it is not what was wanted", async () => {
    const verify = async (path: string) => {
      expect(await Bun.file(path).bytes()).toEqual(CONTENT);
      throw new ProvisionError("not a model", "Choose another");
    };
    expect(await failure("/whole", { verify })).toBe("not a model. Choose another.");
  });

  test("has its HTTP status explained", async () => {
    expect(await failure("/404")).toMatch(/HTTP 404, there is no such file\. Check the spelling/);
    expect(await failure("/401")).toContain("wants a login");
    expect(await failure("/403")).toContain("licence");
    expect(await failure("/429")).toContain("later");
    expect(await failure("/503")).toContain("failing");
    expect(await failure("/418")).toContain("refuses");
  });

  test("does not wait for ever for a server that fell silent", async () => {
    expect(await failure("/stalls", { stalledAfterMs: 50 })).toContain("sent nothing for 0.05 s");
    expect(await failure("/silent", { stalledAfterMs: 50 })).toContain("sent nothing for 0.05 s");
  });

  test("says that nobody answers", async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const address = closed.address();
    await new Promise((resolve) => closed.close(resolve));
    if (!address || typeof address === "string") throw new Error("no port");
    const url = `http://127.0.0.1:${address.port}/file`;
    expect(await failure("", { url })).toMatch(/cannot fetch the file.*network/);
  });

  test("ends with the reason of the one who aborted", async () => {
    for (const path of ["/stalls", "/silent"]) {
      const abort = new AbortController();
      const reason = new Error("no longer wanted");
      // Whichever the server does, the request has reached it before the abort or never leaves.
      const pending = fetchTo(path, { signal: abort.signal, onProgress: () => abort.abort(reason) });
      if (path === "/silent") abort.abort(reason);
      await expect(pending).rejects.toBe(reason);
    }
  });
});

test("a file that was there stays as it was when its replacement fails", async () => {
  await Bun.write(join(folder, "file"), "old");
  await failure("/cut");
  expect(await Bun.file(join(folder, "file")).text()).toBe("old");
});

test("a folder that cannot be made is named", async () => {
  await Bun.write(join(folder, "file"), "not a folder");
  const message = await failure("/whole", { target: join(folder, "file/inside") });
  expect(message).toContain(`cannot write into ${join(folder, "file")}: a part of its path is not a folder`);
});
