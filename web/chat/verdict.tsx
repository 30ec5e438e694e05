import type { VNode } from "preact";
import { type Run, tokensPerSecond } from "./conversation.ts";

/** Whether the two answers are the same, and how much sooner the first one was written. */
export function Verdict({ first, plain }: { readonly first: Run; readonly plain: Run }): VNode {
  if (plain.state === "waiting" || plain.state === "streaming") {
    const same = first.text.startsWith(plain.text);
    return (
      <p class="verdict" data-same={same}>
        Plain decoding writes the same answer now, with the same seed; speculation's is shown in step.{" "}
        {!same && "They differ."}
      </p>
    );
  }
  if (plain.state !== "done") return <p class="verdict">Not compared to the end.</p>;
  const differ = firstDifference(first.text, plain.text);
  if (differ !== undefined) {
    return (
      <p class="verdict" data-same={false}>
        The texts differ from character {differ + 1} on, which must never be. Please report the seed and the
        question.
      </p>
    );
  }
  return (
    <p class="verdict" data-same={true}>
      <b>Same text</b>, character by character ({first.text.length}). {ratioOf(first, plain)}
    </p>
  );
}

function firstDifference(a: string, b: string): number | undefined {
  if (a === b) return undefined;
  let at = 0;
  while (a[at] === b[at]) at++;
  return at;
}

function ratioOf(first: Run, plain: Run): string {
  const [fast, slow] = [tokensPerSecond(first), tokensPerSecond(plain)];
  if (fast === undefined || slow === undefined) return "";
  const ratio = fast / slow;
  return `Speculation wrote ${ratio.toFixed(2)} times as many tokens a second.`;
}
