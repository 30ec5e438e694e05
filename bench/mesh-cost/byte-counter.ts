import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";

export interface ByteCounter {
  /** So far, towards the target. */
  read(): number;
}

/** Stands between a client and a TCP server on this machine, and counts what the client sends. */
export function countingRelay(host: string, port: number): Promise<ByteCounter & { readonly port: number }> {
  let count = 0;
  const relay = createServer((client) => {
    const server = connect({ host, port });
    for (const socket of [client, server]) socket.setNoDelay(true);
    client.on("data", (chunk) => {
      count += chunk.length;
    });
    client.pipe(server).pipe(client);
  });
  return new Promise((resolve, reject) => {
    relay.once("error", reject);
    relay.listen(0, "127.0.0.1", () => {
      // It is no reason to keep the process alive.
      relay.unref();
      resolve({ port: (relay.address() as AddressInfo).port, read: () => count });
    });
  });
}

/** What a network device of this process's namespace has sent, packets' headers included. */
export function deviceCounter(device: string): ByteCounter {
  return {
    read() {
      const line = readFileSync("/proc/self/net/dev", "utf8")
        .split("\n")
        .find((text) => text.trim().startsWith(`${device}:`));
      // Eight columns of what was received come first.
      return Number(line?.trim().split(/\s+/).at(9));
    },
  };
}
