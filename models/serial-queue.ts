/** Runs asynchronous jobs one after the other, in the order in which they were given. */
export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve();

  /** A failed job rejects its own promise and does not stop the next ones. */
  run<Result>(job: () => Result | Promise<Result>): Promise<Result> {
    const result = this.#tail.then(job);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
