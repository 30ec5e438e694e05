/** `flowmesh up` with pretended children: arguments are the options as JSON, the cache folder, and their mode. */
import { join } from "node:path";
import { describeError } from "../../actors/host/expected-error.ts";
import { up } from "../../cli/up.ts";

const [options = "", cache = "", mode = ""] = process.argv.slice(2);
try {
  const code = await up(JSON.parse(options), {
    settings: { cache, runs: join(cache, "run"), logLevel: "warn", logFormat: "text" },
    output: process.stderr,
    childCommand: [process.execPath, join(import.meta.dir, "pretend-role-script.ts"), mode],
  });
  process.exit(code);
} catch (error) {
  process.stderr.write(`flowmesh: ${describeError(error)}\n`);
  process.exit(1);
}
