const LANGUAGE_ERRORS = new Set([
  "Error",
  "TypeError",
  "RangeError",
  "SyntaxError",
  "ReferenceError",
  "AssertionError",
]);

/**
 * True for an error of a named class: somebody foresaw it and wrote its message for a person, so a stack
 * would only be noise. The language's own errors are defects, and show where they come from.
 */
function isExpected(error: unknown): boolean {
  return error instanceof Error && !LANGUAGE_ERRORS.has(error.name);
}

export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isExpected(error) ? error.message : (error.stack ?? `${error.name}: ${error.message}`);
}
