import { openHostNetwork } from "./host-network.ts";

/** Opens two machines with a program in each, says what was opened, and waits to be killed. */
const network = await openHostNetwork({ delayMs: 0, mbps: 100 });
for (let machine = 0; machine < 2; machine++) {
  const { prefix } = await network.open();
  Bun.spawn([...prefix, "sleep", "1000"], { stdio: ["ignore", "ignore", "ignore"] });
}
console.log(network.description);
setInterval(() => {}, 1e6);
