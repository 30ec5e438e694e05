import { join } from "node:path";
import { drain } from "../../cli/top.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";
import type { HostMesh } from "./host-mesh.ts";
import { accessTo, stageHosts, stream, until } from "./mesh-nodes.ts";

export interface ChurnPlan {
  /** Hosts that come, are used, and leave again: drained and killed in turn. */
  readonly joins: number;
  /** Names of hosts that come and go; each list by itself, one after the other, all lists at the same time. */
  readonly visitors: readonly (readonly string[])[];
  /** What a layer takes each of them. */
  readonly layerMs: number;
  /** Streams at any moment. */
  readonly streams: number;
  readonly maxTokens: number;
  /** Called after each leave. */
  readonly onLeave?: (report: ChurnReport) => void;
}

export interface ChurnReport {
  joins: number;
  drained: number;
  killed: number;
  requests: number;
  readonly failures: string[];
  /** Answers that are not what was answered before anything came or went. */
  wrong: number;
  /** Longest times without an event, one a request. */
  readonly pausesMs: number[];
}

const QUESTIONS = [
  "What is a pipeline?",
  "Name three rivers.",
  "Why is the sky blue?",
  "Tell me about the number seven.",
];
const LAYERS = 12;
const USED_MS = 300_000;

/** Path of a model so small that machines hardly work: what is looked at is coming and going. */
export async function smallModel(folder: string): Promise<string> {
  const path = join(folder, "small.gguf");
  await writeTinyGguf(path, { layers: LAYERS, contextLength: 2048 });
  return path;
}

/** Hosts come and go while others ask without a break; one host is in the mesh and stays. */
export async function churn(hosts: HostMesh, plan: ChurnPlan): Promise<ChurnReport> {
  const { mesh } = hosts;
  const { maxTokens, layerMs } = plan;
  const report: ChurnReport = {
    ...{ joins: 0, drained: 0, killed: 0, requests: 0, wrong: 0 },
    ...{ failures: [], pausesMs: [] },
  };
  const expected = new Map<string, string>();
  for (const question of QUESTIONS) {
    const { text, error } = await stream(mesh, question, { maxTokens });
    if (error !== undefined) throw new Error(`nothing has come or gone yet, and yet: ${error}`);
    expected.set(question, text);
  }
  let isOver = false;
  let asked = 0;
  const ask = async () => {
    while (!isOver) {
      const question = QUESTIONS[asked++ % QUESTIONS.length] ?? "";
      try {
        const answer = await stream(mesh, question, { maxTokens });
        if (answer.error !== undefined || answer.finish === undefined) {
          report.failures.push(answer.error ?? "the stream ended too soon");
        } else if (answer.text !== expected.get(question)) report.wrong++;
        report.pausesMs.push(answer.longestPauseMs);
      } catch (error) {
        report.failures.push(String(error));
      }
      report.requests++;
    }
  };
  let begun = 0;
  const comeAndGo = async (names: readonly string[]) => {
    for (let turn = 0; begun < plan.joins; turn++) {
      begun++;
      const name = names[turn % names.length] ?? "";
      const node = await hosts.join(name, layerMs);
      await until(mesh, (now) => stageHosts(now).includes(name), USED_MS);
      const isKilled = ++report.joins % 2 === 0;
      // A request more begins and ends with it, so that its leave meets some in their middle.
      const before = report.requests;
      while (report.requests < before + plan.streams && !isOver) await Bun.sleep(20);
      if (isKilled) {
        node.signal("SIGKILL");
        report.killed++;
      } else {
        await drain(name, accessTo(mesh));
        report.drained++;
      }
      await node.exited;
      await until(mesh, (now) => !stageHosts(now).includes(name) && now.short === undefined, USED_MS);
      plan.onLeave?.(report);
    }
  };
  const asking = Array.from({ length: plan.streams }, ask);
  try {
    await Promise.all(plan.visitors.map(comeAndGo));
  } finally {
    isOver = true;
    await Promise.all(asking);
  }
  return report;
}
