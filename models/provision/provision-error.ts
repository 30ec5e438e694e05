/** Something that flowmesh needs could not be fetched: says what, why and what would help. */
export class ProvisionError extends Error {
  override readonly name = "ProvisionError";

  /** `problem` and `remedy` are sentences without their final full stop. */
  constructor(problem: string, remedy: string, options?: ErrorOptions) {
    super(`${problem}. ${remedy}.`, options);
  }
}
