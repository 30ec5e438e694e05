import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Composer } from "./chat/composer.tsx";
import type { Conversation, ConversationState } from "./chat/conversation.ts";
import { SettingsDialog } from "./chat/settings-dialog.tsx";
import { TurnView } from "./chat/turn-view.tsx";
import type { GatewayApi } from "./gateway-api.ts";
import type { LiveConnection } from "./live/live-connection.ts";
import { PipelinePanel } from "./live/pipeline-panel.tsx";
import { useModel } from "./served-model.ts";
import { keepApiKey, type Settings } from "./settings.ts";
import { type Store, useStore } from "./store.ts";

export interface AppProps {
  readonly api: GatewayApi;
  readonly live: LiveConnection;
  readonly settings: Store<Settings>;
  readonly conversation: Conversation;
}

export function App({ api, live, settings, conversation }: AppProps): VNode {
  const [apiKey, setApiKey] = useState(api.apiKey);
  const [isSetting, setSetting] = useState(false);
  const { model, trouble } = useModel(api, apiKey);
  const { theme } = useStore(settings);
  const state = useStore(conversation.state);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const changeKey = (key: string): void => {
    api.apiKey = key;
    keepApiKey(key);
    setApiKey(key);
    live.connect();
  };
  return (
    <div class="app">
      <header>
        <h1>
          <img src="icon.svg" alt="" width={22} height={22} /> flowmesh
        </h1>
        <p class="model" data-trouble={trouble ? "" : undefined}>
          {trouble ?? (model ? `${model.id} in ${model.stages} stages` : "Looking for the mesh…")}
        </p>
        <button
          type="button"
          class="quiet"
          onClick={() => conversation.clear()}
          disabled={state.turns.length === 0}
        >
          New chat
        </button>
        <button type="button" class="quiet" onClick={() => setSetting(true)}>
          Settings
        </button>
      </header>
      <main>
        <section class="chat" aria-labelledby="chat-title">
          <h2 id="chat-title" class="visually-hidden">
            Chat
          </h2>
          <Turns state={state} conversation={conversation} live={live} />
          <Composer conversation={conversation} settings={settings} isAnswering={state.isAnswering} />
        </section>
        <PipelinePanel live={live} />
      </main>
      {isSetting && (
        <SettingsDialog
          settings={settings}
          model={model}
          apiKey={apiKey}
          onApiKey={changeKey}
          onClose={() => setSetting(false)}
        />
      )}
    </div>
  );
}

interface TurnsProps {
  readonly state: ConversationState;
  readonly conversation: Conversation;
  readonly live: LiveConnection;
}

/** What is near the end is kept in sight; who has scrolled back is left there. */
const NEAR_END_PX = 120;

function Turns({ state, conversation, live }: TurnsProps): VNode {
  const { turns, isAnswering } = state;
  const box = useRef<HTMLDivElement>(null);
  const wasNearEnd = useRef(true);
  useEffect(() => {
    if (box.current !== null && wasNearEnd.current) box.current.scrollTop = box.current.scrollHeight;
  }, [state]);
  return (
    <div
      class="turns"
      ref={box}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        wasNearEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
      }}
    >
      {turns.length === 0 && <Welcome conversation={conversation} />}
      <div role="log" aria-label="Conversation" aria-live="polite" aria-busy={isAnswering}>
        <ol>
          {turns.map((turn, index) => (
            <TurnView
              key={turn.id}
              turn={turn}
              isLast={index === turns.length - 1}
              isAnswering={isAnswering}
              conversation={conversation}
              onShow={(recording) => live.show(recording)}
            />
          ))}
        </ol>
      </div>
      <p class="visually-hidden" role="status">
        {isAnswering ? "The answer is being written." : turns.length > 0 ? "The answer has ended." : ""}
      </p>
    </div>
  );
}

const EXAMPLES = [
  "Why is the sky blue?",
  "Write a short story about a lighthouse keeper.",
  "List five uses for a paper clip.",
];

function Welcome({ conversation }: { readonly conversation: Conversation }): VNode {
  return (
    <div class="welcome">
      <h2>Watch a language model guess ahead</h2>
      <p>
        A drafter guesses a tree of tokens, the stages check it piece by piece, and what is right stays. You
        get exactly the text that plain decoding would give.
      </p>
      <ul>
        {EXAMPLES.map((question) => (
          <li key={question}>
            <button type="button" onClick={() => conversation.ask(question)}>
              {question}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
