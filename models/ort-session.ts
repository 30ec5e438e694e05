import { InferenceSession, Tensor } from "onnxruntime-node";

export type Feeds = Readonly<Record<string, Tensor>>;

export interface SessionOptions {
  /** Threads inside one operator; 1 when several stages share a machine. */
  readonly threads: number;
}

/** onnxruntime's level "error": warnings about graph rewrites are of no use to a user. */
const LOG_ERRORS = 3;

/**
 * One loaded graph. `run` blocks the calling thread while it computes, so a session belongs in a worker
 * unless its thread has nothing else to do.
 */
export class OrtSession {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /** Loads a `.onnx` file with the external weights beside it. */
  static async open(path: string, { threads }: SessionOptions): Promise<OrtSession> {
    const session = await InferenceSession.create(path, {
      executionProviders: ["cpu"],
      executionMode: "sequential",
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: "all",
      logSeverityLevel: LOG_ERRORS,
      // Waiting threads that spin would eat the cores of the other stages on the machine.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    return new OrtSession(session);
  }

  /** The fetched outputs as new arrays; only fp32 outputs can be fetched. */
  async run(feeds: Feeds, fetches: readonly string[]): Promise<Readonly<Record<string, Float32Array>>> {
    const results = await this.#session.run(feeds, fetches);
    return Object.fromEntries(fetches.map((name) => [name, floats(name, results[name])]));
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

function floats(name: string, tensor: Tensor | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new TypeError(`output ${name} is ${tensor?.type ?? "missing"}, not float32`);
}

/** A tensor over `data` itself: writing to the array later changes what the next run sees. */
export const floatTensor = (data: Float32Array, dims: readonly number[]): Tensor =>
  new Tensor("float32", data, dims);

/** A copy of small unsigned integers (token ids, indices) as int64. */
export const int64Tensor = (values: Uint32Array): Tensor =>
  new Tensor("int64", BigInt64Array.from(values, BigInt), [values.length]);
