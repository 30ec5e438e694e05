import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { DEFAULT_POLICY } from "../../decoding/policies/registry.ts";
import { parse } from "./parsed-command-line.ts";

describe("flowmesh up", () => {
  test("has a default for every option but those that are found out later", async () => {
    expect((await parse("up")).up).toEqual([
      {
        stages: 4,
        port: 8080,
        host: "127.0.0.1",
        policy: DEFAULT_POLICY,
        numerics: "fast",
        drafter: "auto",
        sessions: 1,
        maxSessions: 128,
        queue: 256,
        queueWait: 30,
        mesh: "home",
        reportWork: false,
      },
    ]);
  });

  test("takes every option", async () => {
    const line =
      "up --stages 2 --model hf:a/b/c.gguf --port 9000 --host 0.0.0.0 --policy autoregressive " +
      "--numerics precise --drafter head --draft-head own/head.json --sessions 12 " +
      "--max-sessions 24 --queue 0 --queue-wait 5 --nats-port 4333 --threads 3 --kv-memory 1.5GB --mesh lab-2 " +
      "--device jetson-like --link 1.5ms/150mbit --report-work";
    expect((await parse(...line.split(" "))).up).toEqual([
      {
        stages: 2,
        model: "hf:a/b/c.gguf",
        port: 9000,
        host: "0.0.0.0",
        policy: "autoregressive",
        numerics: "precise",
        drafter: "head",
        draftHead: "own/head.json",
        sessions: 12,
        maxSessions: 24,
        queue: 0,
        queueWait: 5,
        natsPort: 4333,
        threads: 3,
        kvMemory: 1.5 * 2 ** 30,
        mesh: "lab-2",
        device: "jetson-like",
        link: { delayMs: 1.5, mbps: 150 },
        reportWork: true,
      },
    ]);
  });

  const wrong: [string, string, RegExp][] = [
    ["--stages", "0", /whole number from 1 to 64/],
    ["--stages", "65", /whole number from 1 to 64/],
    ["--stages", "2.5", /whole number/],
    ["--sessions", "0", /whole number from 1 to 256/],
    ["--max-sessions", "0", /whole number from 1 to 256/],
    ["--max-sessions", "257", /whole number from 1 to 256/],
    ["--queue", "-1", /whole number from 0 to 65536/],
    ["--queue-wait", "0", /whole number from 1 to 3600/],
    ["--queue-wait", "30s", /whole number from 1 to 3600/],
    ["--stages", "1e1", /whole number/],
    ["--port", "70000", /whole number from 1 to 65535/],
    ["--nats-port", "-1", /whole number from 1 to 65535/],
    ["--threads", "many", /whole number/],
    ["--kv-memory", "0MB", /a size like 512MB or 2GB/],
    ["--policy", "greedy", /unknown policy "greedy"; there are: autoregressive, .*flowspec/],
    ["--policy", "flowspec:k=3", /has no parameter "k"; there are: total, topK/],
    ["--policy", "flowspec:topK=x", /parameter "topK" .* must be a whole number from 1/],
    ["--numerics", "exact", /fast, precise/],
    ["--drafter", "eagle", /auto, head, ngram, hybrid, none/],
    ["--mesh", "My.Home", /a-z, 0-9/],
    ["--link", "fast", /a delay like 20ms, or delay and rate like 1ms\/150mbit/],
  ];
  test.each(wrong)(
    "%s %s is refused: the option, the value and what would be right",
    async (option, value, right) => {
      const { up, errors } = await parse("up", `${option}=${value}`);
      expect(up).toEqual([]);
      expect(errors).toContain(option);
      expect(errors).toContain(`'${value}' is invalid`);
      expect(errors).toMatch(right);
    },
  );

  test("an option that does not exist is refused, with the one that was probably meant", async () => {
    const { up, errors } = await parse("up", "--stage", "2");
    expect(up).toEqual([]);
    expect(errors).toContain("unknown option '--stage'");
    expect(errors).toContain("--stages");
  });
});

describe("flowmesh chat", () => {
  test("passes the prompt and numbers on", async () => {
    const line = "chat --temperature .7 --top-p 0.95 --top-k 40 --seed 7 --max-tokens 64 Hello";
    const numbers = { temperature: 0.7, topP: 0.95, topK: 40, seed: 7, maxTokens: 64 };
    const url = "http://127.0.0.1:8080";
    expect((await parse(...line.split(" "))).chat).toEqual([{ prompt: "Hello", url, ...numbers }]);
    expect((await parse("chat")).chat).toEqual([{ url }]);
  });

  test("takes penalties, negative ones too", async () => {
    const line =
      "chat --min-p 0.05 --repetition-penalty 1.1 --presence-penalty -0.5 --frequency-penalty=-2 Hello";
    const numbers = { minP: 0.05, repetitionPenalty: 1.1, presencePenalty: -0.5, frequencyPenalty: -2 };
    expect((await parse(...line.split(" "))).chat).toMatchObject([numbers]);
    expect((await parse("chat", "--presence-penalty", "2.1")).errors).toContain(
      "It must be a number from -2 to 2.",
    );
    expect((await parse("chat", "--repetition-penalty", "0")).errors).toContain(
      "It must be a number from 0.01 to 100.",
    );
  });

  test.each(["2.1", "-1", "warm", "1e0", "1."])("refuses the temperature %s", async (value) => {
    const { chat, errors } = await parse("chat", `--temperature=${value}`);
    expect(chat).toEqual([]);
    expect(errors).toContain("It must be a number from 0 to 2.");
  });
});

describe("flowmesh bench", () => {
  test("has a default for every option but baseline and files", async () => {
    expect((await parse("bench")).bench).toEqual([
      {
        stages: 4,
        devices: ["real", "jetson-like"],
        links: [{ name: "none", delayMs: 0 }],
        policies: ["autoregressive", "naive", "pruned", "pipedec", "flowspec", "fullflow"],
        tune: false,
        prompts: 12,
        tokens: 64,
        repeats: 5,
        temperatures: [0],
        seed: 1,
        numerics: "fast",
        drafter: "auto",
        profile: false,
        predict: false,
      },
    ]);
  });

  test("takes lists; policies are apart by spaces or semicolons, since their parameters have commas", async () => {
    const { bench } = await parse(
      ...[
        "bench",
        "--temperatures",
        "0,.7,1",
        "--devices",
        "real,./slow.json",
        "--links",
        "none,1ms/150mbit",
      ],
      ...["--policies", "flowspec:total=16,topK=4; naive naive", "--baseline", "naive", "--seed", "9"],
      ...["--tune", "--profile", "--predict", "--record", "trace.gz", "--out", "results"],
    );
    expect(bench).toMatchObject([
      {
        temperatures: [0, 0.7, 1],
        devices: ["real", "./slow.json"],
        links: [
          { name: "none", delayMs: 0 },
          { name: "1ms/150mbit", delayMs: 1, mbps: 150 },
        ],
        policies: ["flowspec:total=16,topK=4", "naive"],
        baseline: "naive",
        seed: 9,
        tune: true,
        profile: true,
        predict: true,
        record: "trace.gz",
        out: "results",
      },
    ]);
  });

  test.each([
    ["--temperatures", "0,hot", /number from 0 to 2/],
    ["--links", "none,fast", /delay like 20ms/],
    ["--policies", "naive;greedy", /unknown policy "greedy"/],
    ["--devices", ",", /at least one/],
    ["--repeats", "0", /whole number from 1/],
    ["--tokens", "2", /whole number from 3/],
  ])("%s %s is refused: the option, the value and what would be right", async (option, value, right) => {
    const { bench, errors } = await parse("bench", option, value);
    expect(bench).toEqual([]);
    expect(errors).toContain(option);
    expect(errors).toContain(`'${value}' is invalid`);
    expect(errors).toMatch(right);
  });
});

describe("flowmesh simulate", () => {
  test("has a default for every option but the trace and the file", async () => {
    expect((await parse("simulate")).simulate).toEqual([
      {
        temperatures: [0],
        count: 60,
        tokens: 128,
        seed: 1,
        policies: ["naive", "pipedec", "flowspec", "fullflow"],
        tune: false,
        stages: [4],
        devices: ["cpu-fast"],
        links: [{ name: "1ms/150mbit", delayMs: 1, mbps: 150 }],
        sessions: 1,
      },
    ]);
  });

  test("takes lists; policies are apart by spaces or semicolons, since their parameters have commas", async () => {
    const { simulate } = await parse(
      ...["simulate", "--policies", "flowspec:total=8,topK=4; fullflow naive", "--stages", "2,64"],
      ...["--links", "none,2.5ms", "--devices", "a.json,cpu-fast", "--sessions", "3", "--tune"],
    );
    expect(simulate).toMatchObject([
      {
        policies: ["flowspec:total=8,topK=4", "fullflow", "naive"],
        stages: [2, 64],
        links: [
          { name: "none", delayMs: 0 },
          { name: "2.5ms", delayMs: 2.5 },
        ],
        devices: ["a.json", "cpu-fast"],
        sessions: 3,
        tune: true,
      },
    ]);
  });

  const wrong: [string, string, RegExp][] = [
    ["--policies", "flowspec turbo", /unknown policy "turbo"/],
    ["--policies", " ; ", /at least one/],
    ["--stages", "4,65", /whole number from 1 to 64/],
    ["--links", "1ms,fast", /delay like 20ms/],
    ["--synthetic", "oracle", /average, eagle, head/],
  ];
  test.each(wrong)("refuses %s %s", async (option, value, message) => {
    const { simulate, errors } = await parse("simulate", option, value);
    expect(simulate).toEqual([]);
    expect(errors).toMatch(message);
  });
});

describe("flowmesh test", () => {
  test("passes filters and the group on", async () => {
    expect((await parse("test", "--only", "unit")).test).toEqual([{ only: "unit", filters: [] }]);
    expect((await parse("test", "tree", "walk")).test).toEqual([{ filters: ["tree", "walk"] }]);
  });

  test("refuses a group that does not exist", async () => {
    const { errors } = await parse("test", "--only", "lint");
    expect(errors).toMatch(/format, types, dead-code, unit, simulation, integration/);
  });
});

describe("flowmesh bench-drafters", () => {
  test("measures what comes along when nothing is named", async () => {
    const [options] = (await parse("bench-drafters")).benchDrafters;
    expect(options?.drafters.map(({ name }) => name)).toEqual(["head", "ngram", "hybrid"]);
    expect(options).toMatchObject({ prompts: 12, tokens: 64, temperatures: [0, 1], threads: 1, stages: 4 });
  });

  test("measures what is named, in that order", async () => {
    const line = ["bench-drafters", "ngram", "own.json", "--temperatures", "0", "--link", "none"];
    const [options] = (await parse(...line)).benchDrafters;
    expect(options?.drafters.map(({ name }) => name)).toEqual(["ngram", "own.json"]);
    expect(options).toMatchObject({ temperatures: [0], link: { name: "none" } });
  });
});

describe("exit codes and streams of the real program", () => {
  function run(args: string[], env: Record<string, string> = {}) {
    const main = join(import.meta.dir, "..", "..", "cli", "main.ts");
    const result = Bun.spawnSync([process.execPath, main, ...args], { env: { ...process.env, ...env } });
    return { code: result.exitCode, out: result.stdout.toString(), errors: result.stderr.toString() };
  }

  test("--version and --help go to standard output with 0, and help has examples", async () => {
    const { version } = await Bun.file(join(import.meta.dir, "..", "..", "package.json")).json();
    expect(run(["--version"])).toEqual({ code: 0, out: `${version}\n`, errors: "" });
    for (const args of [["--help"], ["up", "--help"], ["test", "--help"]]) {
      const help = run(args);
      expect(help).toMatchObject({ code: 0, errors: "" });
      expect(help.out).toContain("Examples:\n  $ flowmesh");
    }
  });

  test("wrong usage ends with 2 and says so on standard error", () => {
    for (const args of [["up", "--stages", "x"], ["launch"], ["up", "--mesh"], []]) {
      const result = run(args);
      expect(result).toMatchObject({ code: 2, out: "" });
      expect(result.errors).not.toBe("");
    }
    const setting = run(["up"], { FLOWMESH_LOG: "loud" });
    expect(setting.code).toBe(2);
    expect(setting.errors).toStartWith("flowmesh: environment variable FLOWMESH_LOG is 'loud'");
  });

  test("an operating error ends with 1 and one message, no stack", () => {
    const holder = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      const result = run(["up", "--port", String(holder.port)]);
      expect(result.code).toBe(1);
      expect(result.errors).toBe(
        `flowmesh: 127.0.0.1:${holder.port} is in use by another process, and the HTTP API needs it. ` +
          "Choose another one with --port.\n",
      );
    } finally {
      holder.stop(true);
    }
  });
});

describe("commands for hosts", () => {
  test("flowmesh node reads sizes and labels", async () => {
    const { node } = await parse("node", "--memory", "1.5GB", "--labels", "gpu=no,site=attic", "--name", "a");
    expect(node).toEqual([
      {
        nats: "nats://127.0.0.1:4222",
        mesh: "home",
        name: "a",
        memory: 1.5 * 2 ** 30,
        labels: { gpu: "no", site: "attic" },
        reportWork: false,
      },
    ]);
  });

  test.each([
    [["node", "--memory", "much"], /size like 512MB or 2GB/],
    [["node", "--labels", "attic"], /site=attic/],
    [["node", "--name", "My Host"], /a-z, 0-9/],
    [["up", "--pin", "3-1:site=attic"], /0-3:site=attic/],
    [["drain"], /missing required argument 'host'/],
  ])("%p is refused with what would be right", async (args, says) => {
    expect((await parse(...args)).errors).toMatch(says);
  });

  test("up --no-stages leaves the layers to others, and pins name layers from 0", async () => {
    const { up } = await parse("up", "--no-stages", "--pin", "0-3:site=attic");
    expect(up[0]?.stages).toBe(0);
    expect(up[0]?.pin).toEqual([{ firstLayer: 0, endLayer: 4, label: "site", value: "attic" }]);
  });

  test("drain and top say where the mesh is", async () => {
    const parsed = await parse("drain", "attic", "--mesh", "lab");
    expect(parsed.drain).toEqual([{ host: "attic", nats: "nats://127.0.0.1:4222", mesh: "lab" }]);
    expect((await parse("top", "--json")).top).toEqual([
      { nats: "nats://127.0.0.1:4222", mesh: "home", json: true },
    ]);
  });
});
