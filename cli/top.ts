import { segmentMs } from "../decoding/costs.ts";
import type { MeshSnapshot } from "./top-snapshot.ts";
import { MeshWatch, type WatchOptions } from "./top-snapshot.ts";

/** Longer than the time between two words of a host. */
const LISTEN_MS = 1300;
const REFRESH_MS = 1000;
const CLEAR = "\x1b[2J\x1b[H";

/** Shows what runs where: once as JSON, or again and again for a person until Ctrl-C. */
export async function top(options: WatchOptions & { readonly json: boolean }): Promise<void> {
  const watch = await MeshWatch.open(options);
  try {
    await Bun.sleep(LISTEN_MS);
    if (options.json) {
      process.stdout.write(`${JSON.stringify(await watch.read(), undefined, 2)}\n`);
      return;
    }
    for (;;) {
      const lines = describe(await watch.read()).join("\n");
      process.stdout.write(`${process.stdout.isTTY ? CLEAR : ""}${lines}\n`);
      await Bun.sleep(REFRESH_MS);
    }
  } finally {
    await watch.close();
  }
}

/** Asks a host to leave the mesh, and waits until it has. */
export async function drain(host: string, options: WatchOptions): Promise<void> {
  const watch = await MeshWatch.open(options);
  try {
    await Bun.sleep(LISTEN_MS);
    await watch.drain(host);
    process.stdout.write(`${host} has left the mesh.\n`);
  } finally {
    await watch.close();
  }
}

function describe(snapshot: MeshSnapshot): string[] {
  const { mesh, model, epoch, short } = snapshot;
  return [
    `mesh ${mesh}, ${model}, epoch ${epoch}${short === undefined ? "" : `: ${short}`}`,
    "",
    ...table([
      ["HOST", "SLOTS", "MIB", "RTT ms", "LAYER ms", "STATE", "LABELS"],
      ...snapshot.hosts.map(hostRow),
    ]),
    "",
    ...table([
      [
        "ACTOR",
        "ROLE",
        "HOST",
        "PID",
        "EPOCH",
        "LAYERS",
        "STATE",
        "BUSY",
        "SEGMENTS/s",
        "NODES",
        "ARITHMETIC",
      ],
      ...snapshot.actors.map(actorRow),
    ]),
    "",
    ...table([
      ["SESSION", "POLICY", "PROMPT", "TOKENS", "TOKENS/COMMIT", "TOKENS/s"],
      ...snapshot.sessions.map(sessionRow),
    ]),
  ];
}

const digits = (value: number | null | undefined, places: number): string => value?.toFixed(places) ?? "-";

function hostRow(host: MeshSnapshot["hosts"][number]): string[] {
  const { name, slots, memoryBytes, rttMs, layerMs, draining, labels } = host;
  return [
    name,
    String(slots),
    `${Math.round(memoryBytes / 2 ** 20)}`,
    digits(rttMs, 2),
    digits(layerMs && segmentMs(layerMs, 1), 2),
    draining ? "leaving" : "in",
    Object.entries(labels)
      .map(([label, value]) => `${label}=${value}`)
      .join(","),
  ];
}

function actorRow(actor: MeshSnapshot["actors"][number]): string[] {
  const { name, role, host, pid, epoch, layers, state, activity, arithmetic } = actor;
  return [
    name,
    role,
    host,
    String(pid),
    digits(epoch, 0),
    layers === undefined ? "-" : `${layers[0]}-${layers[1] - 1}`,
    state,
    activity === undefined ? "-" : `${Math.round(100 * activity.busyShare)} %`,
    digits(activity?.segmentsPerSecond, 1),
    digits(activity?.nodesPerSegment, 1),
    arithmetic ?? "-",
  ];
}

function sessionRow(session: MeshSnapshot["sessions"][number]): string[] {
  const { id, policy, promptTokens, completionTokens, tokensPerCommit, tokensPerSecond } = session;
  const counts = [String(promptTokens), String(completionTokens)];
  return [id, policy, ...counts, digits(tokensPerCommit, 2), digits(tokensPerSecond, 1)];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
