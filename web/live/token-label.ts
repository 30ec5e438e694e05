/** A token's text in few characters: spaces at its ends are left out, what can't be seen has a sign. */
export function tokenLabel(text: string, charsMax = 8): string {
  if (text === "") return "end";
  const visible = text.trim() === "" ? text.replaceAll("\n", "⏎").replaceAll(/\s/g, "␣") : text.trim();
  const chars = [...visible];
  return chars.length <= charsMax ? visible : `${chars.slice(0, charsMax - 1).join("")}…`;
}
