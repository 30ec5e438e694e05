import { createStore, type Store } from "./store.ts";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

export interface Settings {
  /** Empty for the mesh's default. */
  readonly policy: string;
  readonly temperature: number;
  /** Undefined: another one for each answer. */
  readonly seed: number | undefined;
  readonly maxTokens: number;
  readonly system: string;
  /** Functions that the model may call: a JSON list in OpenAI's form, or nothing. */
  readonly tools: string;
  /** Play each question again with plain decoding. */
  readonly compare: boolean;
  readonly theme: Theme;
}

export const DEFAULTS: Settings = {
  policy: "",
  temperature: 0.7,
  seed: undefined,
  maxTokens: 512,
  system: "",
  tools: "",
  compare: false,
  theme: "system",
};

/** Undefined: none. Throws an Error that says what must be there. */
export function parseTools(text: string): readonly unknown[] | undefined {
  if (text.trim() === "") return undefined;
  let tools: unknown;
  try {
    tools = JSON.parse(text);
  } catch {
    tools = undefined;
  }
  if (Array.isArray(tools)) return tools.length === 0 ? undefined : tools;
  throw new Error(
    'The tools in the settings must be a JSON list, like [{"type": "function", "function": {…}}].',
  );
}

const PLACE = "flowmesh-settings";
/** Kept for this tab only: a key should not lie about. */
const KEY_PLACE = "flowmesh-api-key";

/** What the person has chosen, kept in the browser. */
export function loadSettings(): Store<Settings> {
  const store = createStore<Settings>({ ...DEFAULTS, ...readKept() });
  store.follow(() => localStorage.setItem(PLACE, JSON.stringify(store.value)));
  return store;
}

/** Of an earlier version perhaps, or changed by hand: what doesn't fit is left out. */
function readKept(): Partial<Settings> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(PLACE) ?? "{}");
    const entries = Object.entries(kept ?? {}).filter(([name, value]) => fits(name, value));
    return Object.fromEntries(entries) as Partial<Settings>;
  } catch {
    return {};
  }
}

function fits(name: string, value: unknown): boolean {
  if (name === "theme") return THEMES.includes(value as Theme);
  if (name === "seed") return typeof value === "number";
  return name in DEFAULTS && typeof value === typeof DEFAULTS[name as keyof Settings];
}

export const loadApiKey = (): string => sessionStorage.getItem(KEY_PLACE) ?? "";
export const keepApiKey = (key: string): void => sessionStorage.setItem(KEY_PLACE, key);
