/**
 * Many requests made from GET /openapi.json, right ones and wrong ones, and whether each was answered as it says:
 *
 *   bun test/integration/api-fuzz-script.ts [requests an operation] [seed]
 */
import { KeyedMesh } from "./keyed-mesh.ts";

const [examples = "300", seed = "1"] = process.argv.slice(2);
const HOUR_MS = 3_600_000;

await using mesh = await KeyedMesh.start();
const phases = ["--phases", "examples,coverage,fuzzing"];
const { code, output } = await mesh.fuzz([...phases, "--max-examples", examples, "--seed", seed], HOUR_MS);
console.log(output);
process.exitCode = code;
