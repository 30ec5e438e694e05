import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { wholeNumber } from "./option-values.ts";

const LIMIT_MAX = 1_000_000_000;

export interface KeysOptions {
  /** Absent: the user's own file. */
  readonly file?: string;
}

export interface AddKeyOptions extends KeysOptions {
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
}

export interface KeysCommands {
  addKey(name: string, options: AddKeyOptions): Promise<void>;
  listKeys(options: KeysOptions): Promise<void>;
  removeKey(name: string, options: KeysOptions): Promise<void>;
}

/** `flowmesh keys add|list|remove`. */
export function keysCommand(commands: KeysCommands): Command {
  const file = () => new Option("--file <path>", "where keys are kept (default: in the user's settings)");
  const name = () => new Argument("<name>", "of the key").argParser(keyName);
  const limit = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1, LIMIT_MAX));
  return new Command("keys")
    .description("API keys: with one or more of them, 'flowmesh up' answers only who has one.")
    .addCommand(
      new Command("add")
        .description("Make a key, and show it this once.")
        .addArgument(name())
        .addOption(limit("--requests-per-minute <n>", "how often it may ask"))
        .addOption(limit("--tokens-per-minute <n>", "tokens of its prompts and answers together"))
        .addOption(file())
        .action((key: string, options: AddKeyOptions) => commands.addKey(key, options)),
    )
    .addCommand(
      new Command("list")
        .description("Names and limits.")
        .addOption(file())
        .action((options: KeysOptions) => commands.listKeys(options)),
    )
    .addCommand(
      new Command("remove")
        .description("A running gateway refuses it within a second.")
        .addArgument(name())
        .addOption(file())
        .action((key: string, options: KeysOptions) => commands.removeKey(key, options)),
    );
}

function keyName(text: string): string {
  if (/^[A-Za-z0-9_.-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("It must be 1 to 64 letters, digits, '_', '.' and '-'.");
}
