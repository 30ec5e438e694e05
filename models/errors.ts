/** A model file that cannot be used: says which file, what is wrong with it and what would help. */
export class ModelFileError extends Error {
  override readonly name = "ModelFileError";
  readonly path: string;
  readonly problem: string;
  readonly remedy: string;

  /** `problem` and `remedy` are sentences without their final full stop. */
  constructor(path: string, problem: string, remedy: string, options?: ErrorOptions) {
    super(`${path}: ${problem}. ${remedy}.`, options);
    this.path = path;
    this.problem = problem;
    this.remedy = remedy;
  }
}
