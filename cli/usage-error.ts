/** What the user asked for cannot be: the message names the option or variable, what was wrong and what would be right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
