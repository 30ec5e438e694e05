/** `flowmesh test` on another checkout: its options come as JSON. */
import { check } from "../../cli/check.ts";

process.exit(await check(JSON.parse(process.argv[2] ?? "{}")));
