import { decodeSegment, encodeSegment } from "../transport/frame.ts";
import { connectNats } from "../transport/nats.ts";

/** The far end of the hop measurement: takes a segment apart, puts it together again and sends it back. */
const [url, hears, answers] = process.argv.slice(2);
if (url === undefined || hears === undefined || answers === undefined) {
  throw new Error("usage: hop-echo <nats url> <subject to hear> <subject to answer on>");
}
const transport = await connectNats({ url, name: "bench-hop-echo" });
transport.subscribe(hears, (message) => {
  const { headers, body } = encodeSegment(decodeSegment(message), "f32");
  transport.publish(answers, body, headers);
});
await transport.flush();
console.log("ready");
// The bench keeps this process's standard input open as long as it lives.
for await (const _ of Bun.stdin.stream());
process.exit(0);
