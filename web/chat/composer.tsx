import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Settings } from "../settings.ts";
import { type Store, useStore } from "../store.ts";
import type { Conversation } from "./conversation.ts";

interface ComposerProps {
  readonly conversation: Conversation;
  readonly settings: Store<Settings>;
  readonly isAnswering: boolean;
}

/** Where questions are written. Enter sends, Shift+Enter begins a line, Escape stops the answer. */
export function Composer({ conversation, settings, isAnswering }: ComposerProps): VNode {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const { compare } = useStore(settings);
  useEffect(() => {
    const stop = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null) conversation.stop();
    };
    document.addEventListener("keydown", stop);
    return () => document.removeEventListener("keydown", stop);
  }, [conversation]);
  useEffect(() => fit(field.current), [text]);
  const send = (): void => {
    const question = text.trim();
    if (question === "" || isAnswering) return;
    conversation.ask(question);
    setText("");
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label class="visually-hidden" for="question">
        Your question
      </label>
      <textarea
        id="question"
        ref={field}
        rows={1}
        placeholder="Ask something"
        value={text}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <div class="composer-row">
        <label class="switch">
          <input
            type="checkbox"
            checked={compare}
            onChange={({ currentTarget }) =>
              settings.set({ ...settings.value, compare: currentTarget.checked })
            }
          />
          <span>Compare with plain decoding</span>
        </label>
        {isAnswering ? (
          <button type="button" class="primary" onClick={() => conversation.stop()}>
            Stop
          </button>
        ) : (
          <button type="submit" class="primary" disabled={text.trim() === ""}>
            Send
          </button>
        )}
      </div>
    </form>
  );
}

/** As high as its text, up to what the style allows. */
function fit(field: HTMLTextAreaElement | null): void {
  if (field === null) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}
