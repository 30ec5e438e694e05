import * as v from "valibot";
import {
  listParts,
  PartialModel,
  partListSchema,
  readPart,
  sha256,
  type WeightPart,
} from "../../models/weight-parts.ts";
import type { BlobStore } from "../../transport/blob-store.ts";
import { NoRespondersError, RequestTimeoutError } from "../../transport/errors.ts";
import { weightsSubject } from "../../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../../transport/transport.ts";
import { encodeJson, parseJson } from "../messages.ts";

/** Model weights can't be had, or are not what they should be. */
export class WeightsError extends Error {
  override readonly name = "WeightsError";
}

const wantSchema = v.object({ parts: v.pipe(v.array(v.string()), v.maxLength(64)) });
/** Parts asked for at once: so many are read and stored before the answer comes. */
const BATCH_PARTS = 8;
const PROVIDE_TIMEOUT_MS = 60_000;
const TRIES_MAX = 5;
const RETRY_MS = 1000;

/** Blob with the list of a file's parts, by the hash of the list. */
async function encodeList(parts: readonly WeightPart[]): Promise<{ name: string; bytes: Uint8Array }> {
  const bytes = encodeJson(parts);
  return { name: sha256(bytes), bytes };
}

export interface WeightsSource {
  /** Name of the blob with the list of parts. */
  readonly parts: string;
  stop(): void;
}

/**
 * Gives out a model file's parts. They are put into the blob store when somebody first asks, so a mesh of
 * one machine stores nothing twice.
 */
export async function provideWeights(
  link: { readonly mesh: string; readonly transport: Transport; readonly blobs: BlobStore },
  path: string,
): Promise<WeightsSource> {
  const { mesh, transport, blobs } = link;
  const parts = await listParts(path);
  const list = await encodeList(parts);
  if (!(await blobs.has(list.name))) await blobs.put(list.name, list.bytes);
  const byHash = new Map(parts.map((part) => [part.sha256, part]));
  let queue: Promise<void> = Promise.resolve();
  const answer = async (message: Message) => {
    try {
      for (const hash of parseJson(wantSchema, message).parts) {
        const part = byHash.get(hash);
        if (part !== undefined && !(await blobs.has(hash))) await blobs.put(hash, await readPart(path, part));
      }
      message.respond(encodeJson({}));
    } catch (error) {
      message.respond(encodeJson({ error: String(error) }));
    }
  };
  const subscription: Subscription = transport.subscribe(weightsSubject(mesh), (message) => {
    queue = queue.then(() => answer(message));
  });
  return { parts: list.name, stop: () => subscription.unsubscribe() };
}

export interface FetchOptions {
  readonly mesh: string;
  readonly transport: Transport;
  readonly blobs: BlobStore;
  /** Where the sparse file lies or will lie. */
  readonly path: string;
  /** Of the whole file. */
  readonly bytes: number;
  /** Name of the blob with the list of parts. */
  readonly parts: string;
}

export interface FetchProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** The parts of a model that one machine needs, kept on its disk. */
export class Weights {
  readonly #options: FetchOptions;
  #parts: readonly WeightPart[] | undefined;
  /** One fetch at a time: they would only share the link. */
  #queue: Promise<unknown> = Promise.resolve();
  #fetchedBytes = 0;

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.path;
  }

  /** Bytes that came over the network so far. */
  get fetchedBytes(): number {
    return this.#fetchedBytes;
  }

  /**
   * Fetches what is missing of these pieces.
   * @throws {WeightsError} when a part can't be had, or has another hash than it should have.
   */
  ensure(
    pieces: readonly string[],
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: (progress: FetchProgress) => void } = {},
  ): Promise<void> {
    const next = this.#queue.then(() => this.#ensure(new Set(pieces), signal, onProgress));
    this.#queue = next.catch(() => {});
    return next;
  }

  async #ensure(
    pieces: ReadonlySet<string>,
    signal?: AbortSignal,
    onProgress?: (progress: FetchProgress) => void,
  ): Promise<void> {
    this.#parts ??= await this.#readList();
    const model = await PartialModel.open(this.#options.path, this.#options.bytes);
    try {
      const missing: WeightPart[] = [];
      for (const part of this.#parts)
        if (pieces.has(part.piece) && !(await model.has(part))) missing.push(part);
      const totalBytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
      let doneBytes = 0;
      for (let at = 0; at < missing.length; at += BATCH_PARTS) {
        const batch = missing.slice(at, at + BATCH_PARTS);
        await this.#ask(batch);
        for (const part of batch) {
          signal?.throwIfAborted();
          await model.write(part, await this.#fetch(part.sha256, `part ${part.sha256} (${part.piece})`));
          doneBytes += part.bytes;
          onProgress?.({ doneBytes, totalBytes });
        }
      }
    } finally {
      await model.close();
    }
  }

  async #readList(): Promise<WeightPart[]> {
    const { parts } = this.#options;
    const bytes = await this.#fetch(parts, `the list of weights ${parts}`);
    return parseJson(partListSchema, { subject: parts, body: bytes });
  }

  /** Whoever has the whole file stores these; it does nothing when they are stored already. */
  async #ask(batch: readonly WeightPart[]): Promise<void> {
    const { blobs, transport, mesh } = this.#options;
    const stored = await Promise.all(batch.map(({ sha256: name }) => blobs.has(name)));
    const wanted = batch.filter((_, index) => !stored[index]).map(({ sha256: name }) => name);
    if (wanted.length === 0) return;
    await retry(async () => {
      const options = { timeoutMs: PROVIDE_TIMEOUT_MS };
      await transport.request(weightsSubject(mesh), encodeJson({ parts: wanted }), options);
    }).catch((error: unknown) => {
      if (!(error instanceof NoRespondersError || error instanceof RequestTimeoutError)) throw error;
      throw new WeightsError(
        `the weights ${wanted[0]} are not in the mesh's store, and no host that has the model file answers`,
        { cause: error },
      );
    });
  }

  async #fetch(hash: string, what: string): Promise<Uint8Array> {
    const bytes = await retry(() => this.#options.blobs.get(hash));
    if (bytes === undefined) throw new WeightsError(`${what} is not in the mesh's store`);
    const found = sha256(bytes);
    if (found !== hash) {
      throw new WeightsError(
        `${what} is damaged in the mesh's store: its SHA-256 is ${found}. Start the mesh anew, so that it is stored again.`,
      );
    }
    this.#fetchedBytes += bytes.length;
    return bytes;
  }
}

/** The server may be restarting, or the link be bad: some seconds of that are borne. */
async function retry<Result>(act: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await act();
    } catch (error) {
      if (tries === TRIES_MAX) throw error;
      await new Promise<void>((resolve) => void setTimeout(resolve, RETRY_MS));
    }
  }
}
