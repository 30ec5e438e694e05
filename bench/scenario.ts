import { PipelineCosts } from "../decoding/costs.ts";
import { GREEDY } from "../decoding/sampling-params.ts";
import type { ModelText } from "../models/model-text.ts";
import type { NamedLink } from "../transport/link-model.ts";
import type { AcceptanceTrace } from "./acceptance-trace.ts";
import { answerTimeLine } from "./answer-time-line.ts";
import { meshArguments, stageCosts, withMesh } from "./bench-mesh.ts";
import type { BenchOptions } from "./bench-options.ts";
import { type PlayedTurn, playConversation } from "./conversation.ts";
import { listProcesses } from "./mesh-inventory.ts";
import { predict } from "./prediction.ts";
import { addProfiles, type Profile, type ProfileSetting, profileSession } from "./profile.ts";
import type { BenchPrompt } from "./prompts.ts";
import { type Contender, type MeasuredRun, REFERENCE, type Scenario } from "./result.ts";
import { type Round, schedule } from "./schedule.ts";
import { SessionObserver } from "./session-observer.ts";
import type { Bench } from "./session-run.ts";
import { tunedContenders } from "./tuning.ts";

export interface ScenarioOrder {
  readonly options: BenchOptions;
  readonly device: string;
  readonly link: NamedLink;
  readonly text: ModelText;
  readonly prompts: readonly BenchPrompt[];
  /** What to tune policies with; absent: they are not tuned. */
  readonly trace?: AcceptanceTrace;
  /** Of the prompts themselves; absent: nothing is predicted. */
  readonly measuredTrace?: AcceptanceTrace;
  readonly signal: AbortSignal;
  /** How much of the scenario is done, from 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/** The largest segment that a stage may still be at when a session has ended. */
const SEGMENT_NODES_MAX = 64;

/** Plays all contenders on one device and link: they take turns on one running mesh. */
export function playScenario(order: ScenarioOrder): Promise<Scenario> {
  const { options, device, link, trace, measuredTrace, signal } = order;
  const args = meshArguments(options, device, link.name);
  return withMesh(args, signal, async ({ mesh, transport, sessions }) => {
    const costs = new PipelineCosts(stageCosts(await listProcesses(transport, mesh.pid)));
    const own = [...new Set([REFERENCE, ...options.policies])];
    const tuned = trace === undefined ? [] : await tunedContenders(own, { trace, costs, link });
    const contenders = own.flatMap((spec) => [
      { label: spec, spec },
      ...tuned.filter(({ label }) => label === `${spec}*`),
    ]);
    const observer = new SessionObserver(transport, mesh.mesh, { drafting: options.profile });
    const settleMs = costs.slowestMs(SEGMENT_NODES_MAX) + 2 * link.delayMs;
    const results = new ScenarioResults(options, {
      stageCount: options.stages,
      link,
      // A paced stage is to be thought of as the device that it acts like.
      modelMs: ({ stage, nodes, computeMs }) =>
        device === "real" || nodes.length === 0
          ? computeMs
          : Math.max(computeMs, costs.stageMs(stage, nodes.length)),
    });
    try {
      const bench = { sessions, observer, stageCount: options.stages, settleMs };
      await playAll(order, bench, contenders, results);
    } finally {
      observer.close();
    }
    const actors = await listProcesses(transport, mesh.pid);
    const inOrder = <T>(list: readonly T[], policyOf: (one: T) => string) =>
      contenders.flatMap(({ label }) => list.filter((one) => policyOf(one) === label));
    const { runs } = results;
    const timeLines = inOrder(results.timeLines, ({ title }) => title);
    const profiles = inOrder(results.profiles, ({ policy }) => policy);
    const isPredictable = measuredTrace !== undefined && device !== "real";
    const predictions = isPredictable ? predict(contenders, { trace: measuredTrace, costs, link }) : [];
    return { device, link: link.name, contenders, runs, timeLines, profiles, predictions, actors };
  });
}

async function playAll(
  { options, text, prompts, onProgress }: ScenarioOrder,
  bench: Bench,
  contenders: readonly Contender[],
  results: ScenarioResults,
): Promise<void> {
  const { temperatures, repeats, seed, tokens: maxTokens } = options;
  const rounds = schedule({ prompts, contenders, temperatures, repeats, seed });
  for (const [index, round] of rounds.entries()) {
    for (const [turn, { label, spec: policy }] of round.contenders.entries()) {
      const { prompt, temperature } = round;
      const sampling = { ...GREEDY, temperature, seed: round.seed };
      const order = { policy, turns: prompt.turns, sampling, maxTokens };
      const played = await playConversation(bench, text, order);
      if (round.repeat > 0) results.add(round, label, played);
      onProgress((index + (turn + 1) / contenders.length) / rounds.length);
    }
  }
}

/** What is kept of the answers: figures of all, and of some what the stages did. */
class ScenarioResults {
  readonly runs: MeasuredRun[] = [];
  readonly timeLines: Scenario["timeLines"][number][] = [];
  readonly #options: BenchOptions;
  readonly #setting: ProfileSetting;
  readonly #profiles = new Map<string, { policy: string; temperature: number; profile: Profile }>();

  constructor(options: BenchOptions, setting: ProfileSetting) {
    this.#options = options;
    this.#setting = setting;
  }

  get profiles(): Scenario["profiles"] {
    return [...this.#profiles.values()];
  }

  add({ prompt, temperature, repeat }: Round, policy: string, played: readonly PlayedTurn[]): void {
    const { id, kind } = prompt;
    for (const [index, { run, record }] of played.entries()) {
      const turn = index + 1;
      this.runs.push({ ...run, policy, prompt: id, kind, turn, temperature, repeat });
      const known = this.timeLines.some((line) => line.title === policy && line.temperature === temperature);
      if (!known) {
        const line = answerTimeLine(policy, record, this.#setting.stageCount);
        this.timeLines.push({ ...line, temperature, prompt: id });
      }
      if (!this.#options.profile) continue;
      const key = `${temperature}/${policy}`;
      const earlier = this.#profiles.get(key)?.profile;
      const own = profileSession(record, this.#setting);
      const profile = earlier === undefined ? own : addProfiles(earlier, own);
      this.#profiles.set(key, { policy, temperature, profile });
    }
  }
}
