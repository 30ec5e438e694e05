import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { SessionView, ViewToken } from "./session-view.ts";

/** The newest of a long answer. */
const TOKENS_SHOWN = 240;

/** The answer token by token: those that the drafter had guessed in time are in colour, and underlined. */
export function TokenRibbon({ view }: { readonly view: SessionView | undefined }): VNode | null {
  const box = useRef<HTMLParagraphElement>(null);
  const count = view?.tokens.length ?? 0;
  useEffect(() => {
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [count]);
  if (view === undefined || count === 0) return null;
  const first = Math.max(0, count - TOKENS_SHOWN);
  const guessed = view.tokens.filter((token) => token.guessed).length;
  return (
    <figure class="ribbon">
      <figcaption>
        <b>{guessed}</b> of <b>{count}</b> tokens were guessed in time
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <p ref={box} tabIndex={0}>
        {view.tokens.slice(first).map((token, index) => (
          <Token key={first + index} token={token} />
        ))}
      </p>
    </figure>
  );
}

function Token({ token }: { readonly token: ViewToken }): VNode {
  const text = token.text.replaceAll("\n", "⏎");
  return token.guessed ? <mark>{text}</mark> : <span>{text}</span>;
}
