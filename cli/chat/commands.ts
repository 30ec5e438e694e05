import { InvalidArgumentError } from "commander";
import { PolicyError, parsePolicy } from "../../decoding/policies/registry.ts";
import { CHAT_NUMBERS } from "./chat-settings.ts";
import type { Conversation } from "./conversation.ts";
import { loadMessages, SavedChatError, saveMessages } from "./saved-chat.ts";

/** What is to happen after a command. */
export type Outcome =
  | { readonly kind: "said" | "refused"; readonly text: string }
  | { readonly kind: "ask-again" | "leave" };

export interface CommandPlace {
  /** Those of the mesh. */
  readonly policies: readonly string[];
  /** Only a person may name files: what comes through a pipe was perhaps written by somebody else. */
  readonly mayUseFiles: boolean;
}

const HELP = `/policy [NAME]      how tokens are decoded, as fullflow or flowspec:total=40; without NAME: which there are
/system [TEXT]      what the model is told before the conversation
/temperature [T]    and so ${CHAT_NUMBERS.slice(1)
  .map(({ name }) => `/${name}`)
  .join(", ")
  .replace(/(.{20,60}, )(\/)/g, "$1\n                    $2")}
                    ("off" takes a setting back; without a value it is shown)
/settings           shows them all
/regenerate         asks the last question once more
/clear              forgets what was said, and keeps the settings
/save FILE          writes what was said to a JSON file, /load FILE goes on from there
/exit               leaves; so do Ctrl-D, and Ctrl-C where nothing was typed
"""                 begins and ends a question of several lines
Ctrl-C stops an answer. A blank before a slash makes it part of a question.`;

const OFF = "off";

/** `line` begins with a slash; undefined when it is no command but a question, such as one about a path. */
export async function runCommand(
  line: string,
  conversation: Conversation,
  place: CommandPlace,
): Promise<Outcome | undefined> {
  const [, name, rest = ""] = /^\/([a-z][a-z-]*|\?)(?:\s+(.*))?\s*$/s.exec(line) ?? [];
  if (name === undefined) return undefined;
  const value = rest.trim();
  const number = CHAT_NUMBERS.find((one) => one.name === name);
  if (number !== undefined) {
    return setting(conversation, name, number.key, value, number.parse);
  }
  switch (name) {
    case "policy":
      return policy(conversation, value, place.policies);
    case "system":
      return setting(conversation, name, "system", value, String);
    case "settings":
      return said(settingsOf(conversation));
    case "regenerate":
      return { kind: "ask-again" };
    case "clear":
    case "new":
      conversation.replace([]);
      return said("forgotten");
    case "save":
    case "load":
      return file(name, conversation, value, place.mayUseFiles);
    case "help":
    case "?":
      return said(HELP);
    case "exit":
    case "quit":
    case "bye":
      return { kind: "leave" };
    default:
      return refused(`there is no command /${name}; /help tells which there are`);
  }
}

const said = (text: string): Outcome => ({ kind: "said", text });
const refused = (text: string): Outcome => ({ kind: "refused", text });

function setting(
  conversation: Conversation,
  name: string,
  key: keyof Conversation["settings"],
  text: string,
  parse: (text: string) => string | number,
): Outcome {
  try {
    if (text !== "") {
      const value = text === OFF ? undefined : parse(text);
      conversation.settings = { ...conversation.settings, [key]: value };
    }
    const present = conversation.settings[key];
    return said(`${name}: ${present ?? "not set"}`);
  } catch (error) {
    if (error instanceof InvalidArgumentError) return refused(`/${name} ${text}: ${error.message}`);
    throw error;
  }
}

function policy(conversation: Conversation, spec: string, policies: readonly string[]): Outcome {
  if (spec === "") {
    const present = conversation.settings.policy;
    const names = policies.map((name) => (name === present?.split(":")[0] ? `${name} *` : name));
    return said(`policy: ${present ?? "the mesh's own"}\nthere are: ${names.join(", ")}`);
  }
  try {
    if (spec !== OFF) {
      const { name } = parsePolicy(spec).definition;
      if (!policies.includes(name)) {
        return refused(`this mesh has no policy "${name}"; there are: ${policies.join(", ")}`);
      }
    }
    return setting(conversation, "policy", "policy", spec, String);
  } catch (error) {
    if (error instanceof PolicyError) return refused(error.message);
    throw error;
  }
}

function settingsOf({ model, settings }: Conversation): string {
  const numbers = CHAT_NUMBERS.flatMap(({ key, name }) =>
    settings[key] === undefined ? [] : [`${name}: ${settings[key]}`],
  );
  return [
    `model: ${model}`,
    `policy: ${settings.policy ?? "the mesh's own"}`,
    `system: ${settings.system ?? "not set"}`,
    ...numbers,
  ].join("\n");
}

async function file(
  name: "save" | "load",
  conversation: Conversation,
  path: string,
  isAllowed: boolean,
): Promise<Outcome> {
  if (!isAllowed) return refused(`/${name} works at a terminal only`);
  if (path === "") return refused(`/${name} needs the name of a file`);
  try {
    if (name === "save") {
      const count = await saveMessages(path, conversation.model, conversation.messages);
      return said(`${count} messages are in ${path}`);
    }
    const messages = await loadMessages(path);
    conversation.replace(messages);
    return said(`${messages.length} messages from ${path}`);
  } catch (error) {
    if (error instanceof SavedChatError) return refused(error.message);
    throw error;
  }
}
