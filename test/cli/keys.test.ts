import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireSafeAccess } from "../../cli/gateway-access.ts";
import { addKey, KeysFile, readKeys, removeKey } from "../../cli/keys-file.ts";
import type { UpOptions } from "../../cli/up-options.ts";
import { findKey } from "../../http/api-keys.ts";
import { serveHttp } from "../../http/server.ts";
import { runFlowmesh } from "../flowmesh-command.ts";
import { RecordingLog, ServedGateway } from "../http/served-gateway.ts";

const TLS = join(import.meta.dir, "../fixtures/tls");
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-keys-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!isSo() && performance.now() < deadline) await Bun.sleep(20);
  expect(isSo()).toBe(true);
}

describe("flowmesh keys", () => {
  test("makes a key that is nowhere kept, lists it and takes it back", async () => {
    const file = join(folder, "made", "keys.json");
    const keys = (...args: string[]) => runFlowmesh(["keys", ...args, "--file", file]);
    const added = await keys("add", "laptop", "--requests-per-minute", "5");
    expect(added.code).toBe(0);
    expect(added.output).toMatch(/^fm-[A-Za-z0-9_-]{43}\n$/);
    const key = added.output.trim();
    const text = await Bun.file(file).text();
    expect(text).not.toContain(key);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder, "made"))).toEqual(["keys.json"]);
    expect(findKey(await readKeys(file), key)).toMatchObject({ name: "laptop", requestsPerMinute: 5 });
    expect((await keys("list")).output).toMatch(/^laptop\t\S+\t5 requests\/min\t- tokens\/min\n$/);
    const twin = await keys("add", "laptop");
    expect(twin).toMatchObject({ code: 2, output: "" });
    expect(twin.errors).toContain("there is a key named 'laptop' already");
    expect((await keys("remove", "phone")).errors).toContain(
      "there is no key named 'phone'; there are: laptop.",
    );
    expect((await keys("remove", "laptop")).code).toBe(0);
    expect(await readKeys(file)).toEqual([]);
  }, 60_000);

  test("says what is wrong with a file that holds none", async () => {
    const file = join(folder, "damaged.json");
    await Bun.write(file, '{"version": 1, "keys": [{"name": "me", "sha256": "12"}]}');
    const { code, errors } = await runFlowmesh(["keys", "list", "--file", file]);
    expect(code).toBe(1);
    expect(errors).toContain(`${file} is no file of API keys (keys.0.sha256:`);
  }, 60_000);
});

test("a gateway takes changes of its keys while it runs, and stays closed when they are gone or damaged", async () => {
  const path = join(folder, "live.json");
  const first = await addKey(path, "first", {});
  const log = new RecordingLog();
  const ring = await KeysFile.open(path, log);
  const knows = (key: string) => findKey(ring.keys(), key) !== undefined;
  expect(knows(first)).toBe(true);
  const second = await addKey(path, "second", {});
  await until(() => knows(second));
  await removeKey(path, "first");
  await until(() => !knows(first));
  expect(knows(second)).toBe(true);
  await Bun.write(path, "{");
  await until(() => !knows(second));
  expect(ring.keys()).not.toEqual([]);
  expect(log.records.map(({ message }) => message)).toContain("the API keys can't be read");
  await rm(path);
  await Bun.sleep(1100);
  ring.keys();
  await Bun.sleep(50);
  expect(ring.keys()).not.toEqual([]);
  const third = await addKey(path, "third", {});
  await until(() => knows(third));
}, 60_000);

describe("flowmesh up refuses", () => {
  const options = (changes: Partial<UpOptions>): UpOptions => ({
    ...{ stages: 2, port: 8080, host: "127.0.0.1", policy: "fullflow", numerics: "fast", drafter: "ngram" },
    ...{ sessions: 1, maxSessions: 128, queue: 256, queueWait: 30 },
    ...{ mesh: "test", reportWork: false, keys: join(folder, "none.json"), ...changes },
  });
  const refusal = async (changes: Partial<UpOptions>) =>
    requireSafeAccess(options(changes)).then(
      () => "",
      (error: unknown) => String(error),
    );

  test("an address that others reach, without keys, unless it is to be open", async () => {
    const home = process.env.XDG_CONFIG_HOME;
    process.env.XDG_CONFIG_HOME = join(folder, "no-config");
    try {
      const { keys: _, ...own } = options({ host: "0.0.0.0" });
      const error: unknown = await requireSafeAccess(own).catch((refused: unknown) => refused);
      expect(String(error)).toMatch(/'flowmesh keys add <name>', or say --open/);
      await requireSafeAccess({ ...own, open: true });
      await requireSafeAccess({ ...own, host: "127.0.0.1" });
    } finally {
      if (home === undefined) delete process.env.XDG_CONFIG_HOME;
      else process.env.XDG_CONFIG_HOME = home;
    }
    const keys = join(folder, "some.json");
    await addKey(keys, "me", {});
    expect(await refusal({ keys, host: "0.0.0.0" })).toBe("");
    expect(await refusal({ keys, open: true })).toContain("leave one of the two out");
    expect(await refusal({})).toContain("which has no keys");
  });

  test("a certificate that can't be used, and origins that are none", async () => {
    const keys = join(folder, "tls.json");
    await addKey(keys, "me", {});
    const [cert, key, other] = ["localhost.pem", "localhost-key.pem", "other-key.pem"].map((name) =>
      join(TLS, name),
    );
    const tls = (tlsCert?: string, tlsKey?: string) =>
      refusal({ keys, ...(tlsCert && { tlsCert }), ...(tlsKey && { tlsKey }) });
    expect(await tls(cert, key)).toBe("");
    expect(await tls(cert)).toContain("go together");
    expect(await tls(cert, join(folder, "missing.pem"))).toContain("there is no such file");
    expect(await tls(cert, other)).toContain("is not that of the certificate");
    expect(await tls(key, key)).toContain("must be a certificate and its private key in PEM");
    expect(await refusal({ keys, cors: ["chat.example.org"] })).toContain("it must be like https://");
    expect(await refusal({ keys, cors: ["https://chat.example.org"] })).toBe("");
  });
});

test("the API is served by HTTPS with a certificate", async () => {
  await using gateway = new ServedGateway();
  const tls = { cert: join(TLS, "localhost.pem"), key: join(TLS, "localhost-key.pem") };
  const server = serveHttp(gateway.app, { hostname: "127.0.0.1", port: 0, tls });
  try {
    expect(server.url).toStartWith("https://");
    const ca = await Bun.file(tls.cert).text();
    const response = await fetch(`${server.url}/v1/models`, { tls: { ca } });
    expect(response.status).toBe(200);
    const untrusted = await fetch(`${server.url}/v1/models`).catch((error: unknown) => error);
    expect(untrusted).toBeInstanceOf(Error);
  } finally {
    await server.stop();
  }
});
