import { openNetworkPair } from "../../bench/mesh-cost/network-pair.ts";

/** Opens two namespaces, runs a program in each, and says their process ids; then it waits to be killed. */
const pair = await openNetworkPair({ delayMs: 0, mbps: 100 });
const programs = [pair.near, pair.far].map((prefix) =>
  Bun.spawn([...prefix, "sh", "-c", 'read -r pid _ </proc/self/stat; echo "$pid"; exec sleep 1000'], {
    stdout: "pipe",
  }),
);
const pids: string[] = [];
for (const { stdout } of programs) {
  const { value } = await stdout.getReader().read();
  pids.push(new TextDecoder().decode(value).trim());
}
console.log(pids.join(" "));
setInterval(() => {}, 1e6);
