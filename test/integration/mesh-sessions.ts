import { systemClock } from "../../actors/runtime/clock.ts";
import { SessionClient } from "../../actors/session-client.ts";
import type { RunningMesh } from "../../bench/running-mesh.ts";
import type { SamplingParams } from "../../decoding/sampling-params.ts";
import { loadModelText, type ModelText } from "../../models/model-text.ts";
import { connectNats } from "../../transport/nats.ts";
import { defaultModelPath } from "../model.ts";

export async function defaultModelText(): Promise<ModelText> {
  return loadModelText(await defaultModelPath());
}

export interface Ask {
  readonly prompt: Uint32Array;
  readonly sampling: SamplingParams;
  readonly policy: string;
  readonly maxTokens: number;
  readonly grammar?: string;
}

export interface Answer {
  readonly tokens: number[];
  readonly commits: number;
}

/** Sessions straight over NATS, without the gateway between. */
export class MeshSessions {
  readonly #client: SessionClient;
  readonly #close: () => Promise<void>;

  static async connect(mesh: RunningMesh): Promise<MeshSessions> {
    const transport = await connectNats({ url: mesh.natsUrl, name: "test" });
    const client = new SessionClient({ mesh: mesh.mesh, transport, clock: systemClock });
    while (!client.status().ready) await Bun.sleep(50);
    return new MeshSessions(client, async () => {
      client.close();
      await transport.close();
    });
  }

  private constructor(client: SessionClient, close: () => Promise<void>) {
    this.#client = client;
    this.#close = close;
  }

  close(): Promise<void> {
    return this.#close();
  }

  async ask(ask: Ask, stopTokens: readonly number[]): Promise<Answer> {
    const session = await this.#client.open({ ...ask, stopTokens });
    const tokens: number[] = [];
    let commits = 0;
    for await (const commit of session.commits) {
      tokens.push(...commit.tokens);
      commits++;
    }
    const { reason, message } = await session.ended;
    if (reason === "error") throw new Error(`session failed: ${message}`);
    return { tokens, commits };
  }

  /** All of them, so many at once; answers in the order of the questions. */
  async askAll(asks: readonly Ask[], atOnce: number, stopTokens: readonly number[]): Promise<Answer[]> {
    const answers: Answer[] = [];
    let next = 0;
    const work = async () => {
      for (let index = next++; index < asks.length; index = next++) {
        answers[index] = await this.ask(asks[index]!, stopTokens);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    return answers;
  }
}
