import { expect, test } from "bun:test";
import fc from "fast-check";
import { eventData } from "../../http/event-data.ts";

async function read(bytes: Uint8Array, sizes: readonly number[]): Promise<string[]> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      let at = 0;
      for (const size of [...sizes, bytes.length]) {
        if (at < bytes.length) controller.enqueue(bytes.slice(at, at + size));
        at += size;
      }
      controller.close();
    },
  });
  const events: string[] = [];
  for await (const data of eventData(body)) events.push(data);
  return events;
}

test("events come out as they went in, for any cut, line end, comment and number of lines", async () => {
  const line = fc.string({ unit: fc.constantFrom("a", " ", ":", "世", "🙂") });
  const event = fc.record({ lines: fc.array(line, { minLength: 1, maxLength: 3 }), comment: fc.boolean() });
  const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 60 });
  const ends = fc.constantFrom("\n", "\r\n", "\r");
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 6 }), ends, cuts, async (events, end, sizes) => {
      const text = events
        .map(({ lines, comment }) => {
          const fields = lines.map((one) => `data: ${one}${end}`).join("");
          return `${comment ? `: ping${end}${end}event: x${end}` : ""}${fields}${end}`;
        })
        .join("");
      // A last comment, since a lone CR at the very end may yet be half of a CR LF.
      const bytes = new TextEncoder().encode(`${text}: end${end}`);
      expect(await read(bytes, sizes)).toEqual(events.map(({ lines }) => lines.join("\n")));
    }),
    { numRuns: 500 },
  );
});

test("an event that the end cuts off is no event", async () => {
  expect(await read(new TextEncoder().encode("data: whole\n\ndata: half"), [])).toEqual(["whole"]);
});
