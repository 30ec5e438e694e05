import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { hashKey } from "../../http/api-keys.ts";
import { type EndedPython, runPython, testPython } from "../python/python.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const KEY = "fm-of-the-tests";
const PYTHON = join(import.meta.dir, "../python");

/** A whole mesh in its own processes, so small that it is the API that works; its gateway wants a key. */
export class KeyedMesh implements AsyncDisposable {
  readonly #folder: string;
  readonly #mesh: RunningMesh;

  private constructor(folder: string, mesh: RunningMesh) {
    this.#folder = folder;
    this.#mesh = mesh;
  }

  static async start(): Promise<KeyedMesh> {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-keyed-"));
    const [model, keys] = [join(folder, "small.gguf"), join(folder, "keys.json")];
    await writeTinyGguf(model, { layers: 2, contextLength: 4096 });
    const key = { name: "tests", sha256: hashKey(KEY), created: new Date().toISOString() };
    await Bun.write(keys, JSON.stringify({ version: 1, keys: [key] }));
    // Where its packages must be installed first, the mesh need not run meanwhile.
    await testPython();
    const mesh = await startMesh("--stages", "1", "--model", model, "--drafter", "ngram", "--keys", keys);
    return new KeyedMesh(folder, mesh);
  }

  /** With the key; a POST where there is a body. */
  request(path: string, body?: object): Promise<Response> {
    return fetch(`${this.#mesh.url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  /** Runs one of the Python programs of test/python, told where the mesh is. */
  run(program: string, limitMs: number): Promise<EndedPython> {
    const env = { FLOWMESH_URL: this.#mesh.url, FLOWMESH_KEY: KEY };
    return runPython([join(PYTHON, program)], { folder: this.#folder, env, limitMs });
  }

  /** Is GET /openapi.json valid OpenAPI? */
  async validate(limitMs: number): Promise<EndedPython> {
    const file = join(this.#folder, "openapi.json");
    await Bun.write(file, await (await fetch(`${this.#mesh.url}/openapi.json`)).text());
    return runPython(["-m", "openapi_spec_validator", file], { folder: this.#folder, limitMs });
  }

  /** Requests made from GET /openapi.json by schemathesis, right ones and wrong ones, and how they were answered. */
  fuzz(args: readonly string[], limitMs: number): Promise<EndedPython> {
    const config = ["--config-file", join(PYTHON, "schemathesis.toml")];
    const target = [`${this.#mesh.url}/openapi.json`, "--header", `Authorization: Bearer ${KEY}`];
    const all = ["-m", "schemathesis.cli", ...config, "run", ...target, "--no-color", ...args];
    const env = { SCHEMATHESIS_HOOKS: "api_fuzz", PYTHONPATH: PYTHON };
    return runPython(all, { folder: this.#folder, env, limitMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#mesh.stop();
    await rm(this.#folder, { recursive: true });
  }
}
