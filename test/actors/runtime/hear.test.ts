import { expect, test } from "bun:test";
import type { ActorContext } from "../../../actors/runtime/actor.ts";
import { silentLog } from "../../../actors/runtime/log.ts";
import { spawn } from "../../../actors/runtime/spawn.ts";
import { MemoryMesh } from "../../../transport/memory.ts";
import { SimulatedClock, settle } from "../../simulated-clock.ts";

const NOTHING = new Uint8Array(0);

/** An actor whose turns wait until they are let go. */
async function slowActor(hear: (said: string[]) => void) {
  const said: string[] = [];
  const gate = Promise.withResolvers<void>();
  const clock = new SimulatedClock();
  const mesh = new MemoryMesh({ clock });
  const start = (context: ActorContext) => {
    context.listen("work", { lane: "normal" });
    context.hear("word", () => hear(said));
    return {
      async receive() {
        said.push("turn begins");
        await gate.promise;
        said.push("turn ends");
      },
    };
  };
  const definition = { name: "slow", description: "waits in its turns", start };
  const ref = await spawn(definition, { transport: mesh.connect("slow"), clock, log: silentLog });
  return { said, ref, letGo: gate.resolve, publisher: mesh.connect("publisher") };
}

test("a heard message is handled at once, even while a turn waits", async () => {
  const { said, ref, letGo, publisher } = await slowActor((words) => void words.push("word"));
  publisher.publish("work", NOTHING);
  await settle();
  publisher.publish("word", NOTHING);
  await settle();
  letGo();
  await settle();
  expect(said).toEqual(["turn begins", "word", "turn ends"]);
  await ref.stop();
});

test("an error while hearing is a crash", async () => {
  const { ref, publisher } = await slowActor(() => {
    throw new Error("bad word");
  });
  publisher.publish("word", NOTHING);
  await settle();
  expect(ref.stats.failed).toBe(1);
  await ref.stop();
});
