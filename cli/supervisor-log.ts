import type { SupervisorEvent } from "../actors/host/supervisor.ts";
import type { Log } from "../actors/runtime/log.ts";

/** Tells a person what becomes of the child processes. */
export function logEvent(log: Log, event: SupervisorEvent): void {
  const actor = event.name;
  switch (event.kind) {
    case "up":
      log.write("info", "is up", { actor, pid: event.pid });
      return;
    case "down":
      log.write("warn", `starts again in ${event.restartInMs} ms: ${event.reason}`, { actor });
      return;
    case "restarted":
      log.write("warn", "is up again", { actor, pid: event.pid, restarts: event.restarts });
      return;
    case "gave-up":
      log.write("error", `is given up: ${event.reason}`, { actor });
      return;
  }
}
