import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Recording } from "../live/recording.ts";
import { CallsView, laidOut } from "./calls-view.tsx";
import { type Conversation, PLAIN_POLICY, type Run, type Turn, tokensPerSecond } from "./conversation.ts";
import { Markdown } from "./markdown.tsx";
import { Verdict } from "./verdict.tsx";

interface TurnViewProps {
  readonly turn: Turn;
  readonly isLast: boolean;
  readonly isAnswering: boolean;
  readonly conversation: Conversation;
  onShow(recording: Recording): void;
}

/** A question and its answer, or its two answers. */
export function TurnView({ turn, isLast, isAnswering, conversation, onShow }: TurnViewProps): VNode {
  const { question, runs, error } = turn;
  const [first, plain] = runs;
  const canRepeat = isLast && !isAnswering;
  return (
    <li class="turn">
      <h3 class="visually-hidden">You</h3>
      <p class="question">{question}</p>
      <h3 class="visually-hidden">Answer</h3>
      <div class={plain ? "runs compared" : "runs"} aria-busy={isLast && isAnswering}>
        {first && <RunView run={first} rival={plain} onShow={onShow} />}
        {plain && <RunView run={plain} rival={undefined} onShow={onShow} />}
      </div>
      {first && plain && <Verdict first={first} plain={plain} />}
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {canRepeat && (
        <div class="actions">
          <button type="button" class="quiet" onClick={() => conversation.regenerate()}>
            {error ? "Try again" : "Regenerate"}
          </button>
          {first && copied(first) !== "" && <CopyButton text={copied(first)} />}
        </div>
      )}
    </li>
  );
}

const copied = ({ text, calls }: Run): string =>
  [text, ...calls.map((call) => `${call.name}(${laidOut(call.arguments)})`)].filter(Boolean).join("\n\n");

interface RunViewProps {
  readonly run: Run;
  /** One that plays now: this one, over already, is shown again in step with it. */
  readonly rival: Run | undefined;
  onShow(recording: Recording): void;
}

function RunView({ run, rival, onShow }: RunViewProps): VNode {
  const text = useRacing(run, rival);
  const { recording } = run;
  const isWriting = run.state === "waiting" || run.state === "streaming";
  return (
    <article class="run" data-state={run.state} data-policy={run.policy}>
      {rival !== undefined || run.policy === PLAIN_POLICY ? <h4>{nameOf(run)}</h4> : null}
      {run.state === "waiting" ? <p class="waiting">Reading the question…</p> : <Markdown text={text} />}
      {run.calls.length > 0 && <CallsView calls={run.calls} />}
      {!isWriting && (
        <p class="run-figures">
          <span>{figuresOf(run)}</span>
          {recording && (
            <button type="button" class="link" onClick={() => onShow(recording)}>
              Show in the pipeline
            </button>
          )}
        </p>
      )}
    </article>
  );
}

function nameOf({ policy }: Run): string {
  if (policy === PLAIN_POLICY) return "Plain decoding";
  return policy === "" ? "Speculation" : `Speculation: ${policy}`;
}

function figuresOf(run: Run): string {
  const { completionTokens: count, commits, seed, state, finishReason } = run;
  if (state === "stopped") return "Stopped.";
  if (state === "failed") return "";
  const rate = tokensPerSecond(run);
  return [
    `${count} tokens`,
    rate === undefined ? "" : `${rate.toFixed(1)} tokens/s`,
    commits > 0 ? `${(count / commits).toFixed(2)} a commit` : "",
    `seed ${seed}`,
    finishReason === "length" ? "cut off at the token limit" : "",
  ]
    .filter(Boolean)
    .join(" · ");
}

/** The text to show: all of it, or as much as it had after the rival's time so far. */
function useRacing({ steps, text }: Run, rival: Run | undefined): string {
  const isRacing = rival?.state === "waiting" || rival?.state === "streaming";
  const [elapsedMs, setElapsedMs] = useState(0);
  useEffect(() => {
    if (!isRacing) return;
    const beganMs = performance.now();
    let frame = requestAnimationFrame(function step(nowMs) {
      setElapsedMs(nowMs - beganMs);
      frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [isRacing]);
  if (!isRacing) return text;
  const length = steps.findLast(({ atMs }) => atMs <= elapsedMs)?.length ?? 0;
  return text.slice(0, length);
}

const COPIED_MS = 1500;

function CopyButton({ text }: { readonly text: string }): VNode {
  const [isCopied, setCopied] = useState(false);
  const copy = (): void => {
    navigator.clipboard
      ?.writeText(text)
      .then(() => {
        setCopied(true);
        setTimeout(() => setCopied(false), COPIED_MS);
      })
      .catch(() => {});
  };
  return (
    <button type="button" class="quiet" onClick={copy}>
      {isCopied ? "Copied" : "Copy"}
    </button>
  );
}
