/** What an event stream's `data` fields hold, one string an event. Comments and other fields are skipped. */
export async function* eventData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let fields: string[] = [];
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    // A CR at the end may be half of a CR LF: it waits for the next piece.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("data:")) fields.push(line.slice(line[5] === " " ? 6 : 5));
      if (line !== "" || fields.length === 0) continue;
      yield fields.join("\n");
      fields = [];
    }
  }
}
