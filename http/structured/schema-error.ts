/** A schema outside the supported subset, or one that no value fits. `path`: where, as `.properties.a`. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}
