import type { ComponentChildren, VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ModelCard } from "../gateway-api.ts";
import { DEFAULTS, type Settings, THEMES, type Theme } from "../settings.ts";
import { type Store, useStore } from "../store.ts";

interface SettingsDialogProps {
  readonly settings: Store<Settings>;
  readonly model: ModelCard | undefined;
  readonly apiKey: string;
  onApiKey(key: string): void;
  onClose(): void;
}

/** What shapes the answers to come. Changes count at once. */
export function SettingsDialog({ settings, model, apiKey, onApiKey, onClose }: SettingsDialogProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const { policy, temperature, seed, maxTokens, theme } = useStore(settings);
  const change = (part: Partial<Settings>): void => settings.set({ ...settings.value, ...part });
  return (
    <dialog ref={dialog} aria-labelledby="settings-title" onClose={onClose}>
      <form method="dialog">
        <h2 id="settings-title">Settings</h2>
        <Field name="policy" label="Policy" hint="Who decides what is sent through the pipeline when.">
          <select
            id="policy"
            value={policy}
            onChange={(event) => change({ policy: event.currentTarget.value })}
          >
            <option value="">the mesh's default</option>
            {model?.policies.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </Field>
        <Field name="temperature" label={`Temperature: ${temperature}`} hint="0 takes the likeliest token.">
          <input
            id="temperature"
            type="range"
            min={0}
            max={2}
            step={0.1}
            value={temperature}
            onInput={(event) => change({ temperature: Number(event.currentTarget.value) })}
          />
        </Field>
        <Field
          name="seed"
          label="Seed"
          hint="The same seed gives the same answer. Empty: another one each time."
        >
          <input
            id="seed"
            type="number"
            min={0}
            step={1}
            value={seed ?? ""}
            onInput={({ currentTarget: { value } }) =>
              change({ seed: value === "" ? undefined : Math.max(0, Math.trunc(Number(value))) })
            }
          />
        </Field>
        <Field
          name="max-tokens"
          label="Tokens at most"
          hint={`Of an answer; the context has ${model?.contextLength ?? "so many"}.`}
        >
          <input
            id="max-tokens"
            type="number"
            min={1}
            step={1}
            value={maxTokens}
            onInput={({ currentTarget: { value } }) =>
              change({ maxTokens: Math.trunc(Number(value)) || DEFAULTS.maxTokens })
            }
          />
        </Field>
        <Told settings={settings} />
        <Field
          name="api-key"
          label="API key"
          hint="Only if this mesh asks for one. Kept until the tab is closed."
        >
          <input
            id="api-key"
            type="password"
            autocomplete="off"
            value={apiKey}
            onChange={(event) => onApiKey(event.currentTarget.value.trim())}
          />
        </Field>
        <Field name="theme" label="Colours" hint="">
          <select
            id="theme"
            value={theme}
            onChange={(event) => change({ theme: event.currentTarget.value as Theme })}
          >
            {THEMES.map((each) => (
              <option key={each} value={each}>
                {each === "system" ? "as the system" : each}
              </option>
            ))}
          </select>
        </Field>
        <button type="submit" class="primary">
          Done
        </button>
      </form>
    </dialog>
  );
}

/** What the model is told beside the conversation. */
function Told({ settings }: { readonly settings: Store<Settings> }): VNode {
  const { system, tools } = useStore(settings);
  const change = (part: Partial<Settings>): void => settings.set({ ...settings.value, ...part });
  return (
    <>
      <Field name="system" label="System prompt" hint="Goes before the conversation.">
        <textarea
          id="system"
          rows={2}
          value={system}
          onInput={(event) => change({ system: event.currentTarget.value })}
        />
      </Field>
      <Field
        name="tools"
        label="Tools"
        hint={'Functions that the model may call: [{"type": "function", "function": {"name": …}}].'}
      >
        <textarea
          id="tools"
          class="code"
          rows={2}
          spellcheck={false}
          value={tools}
          onInput={(event) => change({ tools: event.currentTarget.value })}
        />
      </Field>
    </>
  );
}

interface FieldProps {
  readonly name: string;
  readonly label: string;
  readonly hint: string;
  readonly children: ComponentChildren;
}

function Field({ name, label, hint, children }: FieldProps): VNode {
  return (
    <div class="field">
      <label for={name}>{label}</label>
      {children}
      {hint !== "" && <small>{hint}</small>}
    </div>
  );
}
