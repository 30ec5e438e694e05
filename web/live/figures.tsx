import type { VNode } from "preact";
import type { SessionView } from "./session-view.ts";

/** What counts, in four numbers. */
export function Figures({ view }: { readonly view: SessionView | undefined }): VNode {
  const count = view?.tokens.length ?? 0;
  const guessed = view?.tokens.filter((token) => token.guessed).length ?? 0;
  const known = (figure: string, least = 1): string => (count < least ? "–" : figure);
  return (
    <dl class="figures">
      <Figure name="tokens/s" title="Tokens per second, counted from the first one" id="rate">
        {known(view?.tokensPerSecond.toFixed(1) ?? "", 2)}
      </Figure>
      <Figure
        name="mean accepted length"
        title="Tokens that each commit of the verifier brought"
        id="accepted-length"
      >
        {known(view?.meanAccepted.toFixed(2) ?? "")}
      </Figure>
      <Figure
        name="guessed in time"
        title="Tokens that were in the pipeline already when the one before them was verified"
        id="guessed"
      >
        {known(`${Math.round((100 * guessed) / count)} %`)}
      </Figure>
      <Figure name="first token" title="From the request to the first token" id="first-token">
        {known(`${((view?.firstTokenMs ?? 0) / 1000).toFixed(2)} s`)}
      </Figure>
    </dl>
  );
}

interface FigureProps {
  readonly name: string;
  readonly title: string;
  readonly id: string;
  readonly children: string;
}

function Figure({ name, title, id, children }: FigureProps): VNode {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd data-figure={id}>{children}</dd>
    </div>
  );
}
