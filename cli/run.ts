import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { drafterActor, drafterActorName } from "../actors/drafter.ts";
import { NameClaim } from "../actors/mesh/name-claim.ts";
import { KEYS, type PlacementRecord, placementSchema } from "../actors/mesh/records.ts";
import { type DrafterReply, encodeJson, parseJson } from "../actors/messages.ts";
import type { ActorDefinition } from "../actors/runtime/actor.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import { jsonLog, type Log, textLog } from "../actors/runtime/log.ts";
import { spawn } from "../actors/runtime/spawn.ts";
import type { Drafter, Predict, Tokenizer } from "../custom/drafter.ts";
import { customDraftEngine } from "../custom/drafter-engine.ts";
import { epoch } from "../decoding/ids.ts";
import { loadModelText, type ModelText } from "../models/model-text.ts";
import { HEADER } from "../models/weight-parts.ts";
import { drafterSubject, eventSubject } from "../transport/subjects.ts";
import { loadCustom, RunError } from "./custom-file.ts";
import { machineName } from "./host-name.ts";
import { findMesh, type MeshDoor, meshWeights } from "./mesh-membership.ts";
import { PlacedActor } from "./roles/placed-actor.ts";
import type { Settings } from "./settings.ts";
import { listenForStop } from "./stop-signals.ts";
import { accessOf, type WatchOptions } from "./top-snapshot.ts";

export interface RunEnvironment {
  readonly settings: Settings;
  readonly output: { write(text: string): unknown };
}

/** What runs in this process, by one name. */
interface Running {
  readonly name: string;
  /** Resolves with why it can't go on. */
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

/** Runs a user's own actor or drafter as part of a mesh, until a stop signal. Gives the exit code. */
export async function run(
  file: string,
  options: WatchOptions,
  { settings, output }: RunEnvironment,
): Promise<number> {
  const path = resolve(file);
  if (!existsSync(path)) throw new RunError(`there is no file ${path}.`);
  const custom = await loadCustom(path);
  const makeLog = settings.logFormat === "json" ? jsonLog : textLog;
  const log = makeLog((line) => output.write(`${line}\n`), { least: settings.logLevel });
  const stop = listenForStop((exitCode) => process.exit(exitCode));
  const door = await findMesh(accessOf(options), options.mesh, `run-${process.pid}`);
  try {
    const running =
      "kind" in custom ? await runDrafter(custom, door, settings, log) : await runActor(custom, door, log);
    output.write(`${running.name} is part of mesh ${options.mesh}. Press Ctrl-C to end it.\n`);
    const stopped = new Promise<undefined>((done) => {
      stop.signal.addEventListener("abort", () => done(undefined));
      if (stop.signal.aborted) done(undefined);
    });
    const failure = await Promise.race([stopped, running.failed]);
    await running.stop();
    if (failure !== undefined) throw new RunError(`${running.name} can't go on: ${failure.message}`);
    return 0;
  } finally {
    await door.transport.close();
    stop.release();
  }
}

/** Epoch: of the placement that it serves, for drafters. */
const metadataOf = (mesh: string, placed?: number) => (): Record<string, string> => ({
  mesh,
  role: "user",
  pid: String(process.pid),
  host: machineName(),
  ...(placed !== undefined && { epoch: String(placed) }),
});

async function runActor(
  definition: ActorDefinition,
  { transport, mesh }: MeshDoor,
  log: Log,
): Promise<Running> {
  const options = { transport, clock: systemClock, log, metadata: metadataOf(mesh.mesh) };
  const actor = await spawn(definition, options);
  const failed = new Promise<Error>(
    (resolve) => void actor.ended.then((error) => error && resolve(error), resolve),
  );
  return { name: actor.name, failed, stop: () => actor.stop() };
}

async function runDrafter(drafter: Drafter, door: MeshDoor, settings: Settings, log: Log): Promise<Running> {
  const claim = await claimName(drafter.name, door, log);
  try {
    return await runNamed(drafter, { door, settings, log, claim });
  } catch (error) {
    await claim.release();
    throw error;
  }
}

interface NamedDrafter {
  readonly door: MeshDoor;
  readonly settings: Settings;
  readonly log: Log;
  /** It has its name. */
  readonly claim: NameClaim;
}

async function runNamed(drafter: Drafter, { door, settings, log, claim }: NamedDrafter): Promise<Running> {
  const { transport } = door;
  const { mesh } = door.mesh;
  const text = await modelText(door, settings.cache);
  const predict = await started(drafter, text);
  const engine = customDraftEngine(predict, text.vocabularySize);
  const failing = Promise.withResolvers<Error>();
  void claim.lost.then(() =>
    failing.resolve(
      new Error(`it was silent for too long, and another one of its name is on mesh "${mesh}"`),
    ),
  );
  const placed = new PlacedActor({ fail: failing.resolve }, (place) =>
    spawn(drafterActor({ mesh, epoch: epoch(place.epoch), engine, name: drafter.name }), {
      ...{ transport, clock: systemClock, log },
      metadata: metadataOf(mesh, place.epoch),
    }),
  );
  let entered = 0;
  const follow = ({ epoch: current, plan }: PlacementRecord) => {
    if (plan === undefined || current <= entered) return;
    entered = current;
    void placed.enter({ epoch: current, index: 0, stageCount: plan.stages.length });
  };
  const subscriptions = [
    transport.subscribe(eventSubject(mesh, "placement"), (message) =>
      follow(parseJson(placementSchema, message)),
    ),
    transport.subscribe(drafterSubject(mesh, drafter.name), (message) => {
      const { name, description } = drafter;
      message.respond(encodeJson({ name, description } satisfies DrafterReply));
    }),
  ];
  const entry = await door.store.get(KEYS.placement);
  if (entry !== undefined) follow(parseJson(placementSchema, { subject: KEYS.placement, body: entry.value }));
  return {
    name: drafterActorName(drafter.name),
    failed: failing.promise,
    async stop() {
      for (const subscription of subscriptions) subscription.unsubscribe();
      await placed.stop();
      await engine.close();
      await claim.release();
    },
  };
}

/** Requests could not tell two drafters of one name apart. */
async function claimName(name: string, { store, mesh }: MeshDoor, log: Log): Promise<NameClaim> {
  const claim = await NameClaim.take({ store, clock: systemClock, log }, KEYS.drafter(name), randomUUID());
  if (claim !== undefined) return claim;
  throw new RunError(
    `a drafter named "${name}" is on mesh "${mesh.mesh}" already; give this one another name.`,
  );
}

/** Of the model file this needs no more than its header. */
async function modelText(door: MeshDoor, cache: string): Promise<ModelText> {
  const weights = await meshWeights(door, cache);
  await weights.ensure([HEADER]);
  return loadModelText(weights.path);
}

async function started(drafter: Drafter, text: ModelText): Promise<Predict> {
  const tokenizer: Tokenizer = {
    encode: (string) => [...text.tokenizer.encode(string, { special: false })],
    decode(tokens) {
      const decoder = text.decoder();
      return decoder.push(tokens) + decoder.flush();
    },
    vocabularySize: text.vocabularySize,
  };
  const predict: unknown = await drafter.start(tokenizer);
  if (typeof predict === "function") return predict as Predict;
  throw new RunError(`start() of drafter "${drafter.name}" must give a function from tokens to predictions.`);
}
