/** Elements of an XML document, by name; throws unless every one that is opened is closed in order. */
export function elementsOf(xml: string): Map<string, number> {
  const open: string[] = [];
  const counts = new Map<string, number>();
  let ended = 0;
  const tag = /<(?:(\/)([\w:-]+)\s*|([\w:-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)|!--.*?--|\?[^?]*\?)>/gs;
  for (const match of xml.matchAll(tag)) {
    const between = xml.slice(ended, match.index);
    if (/[<>]|&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[\da-fA-F]+);)/.test(between)) {
      throw new Error(`not well-formed near: ${between.slice(0, 80)}`);
    }
    ended = match.index + match[0].length;
    const [, closing, closed, opened, , empty] = match;
    if (opened !== undefined) {
      counts.set(opened, (counts.get(opened) ?? 0) + 1);
      if (empty !== "/") open.push(opened);
    } else if (closing !== undefined && open.pop() !== closed) throw new Error(`</${closed}> was not open`);
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)}> is not closed`);
  if (xml.slice(ended).trim() !== "") throw new Error("text behind the document");
  return counts;
}
