import { SAMPLING_RANGES } from "../../decoding/sampling-params.ts";
import type { ChatQuestion } from "../../http/chat-client.ts";
import { decimalNumber, wholeNumber } from "../option-values.ts";

/** What shapes the answers of a chat; what is undefined is left to the gateway. */
export interface ChatSettings extends Omit<ChatQuestion, "messages" | "model"> {
  /** What the model is told before the conversation. */
  readonly system?: string | undefined;
}

/** A setting that is a number: `--top-p <p>` on the command line, `/top-p <p>` in a conversation. */
interface ChatNumber {
  readonly key: Exclude<keyof ChatSettings, "system" | "policy">;
  readonly name: string;
  readonly unit: string;
  readonly text: string;
  /** Throws commander's InvalidArgumentError, whose message says what it must be. */
  parse(text: string): number;
}

const COUNT_MAX = 2 ** 31 - 1;

const decimal = ([least, greatest]: readonly [number, number]) => decimalNumber(least, greatest);

export const CHAT_NUMBERS: readonly ChatNumber[] = [
  {
    key: "temperature",
    name: "temperature",
    unit: "t",
    text: "0 takes the likeliest token",
    parse: decimal(SAMPLING_RANGES.temperature),
  },
  {
    key: "topP",
    name: "top-p",
    unit: "p",
    text: "sample from the likeliest tokens of this mass",
    parse: decimal(SAMPLING_RANGES.topP),
  },
  {
    key: "topK",
    name: "top-k",
    unit: "n",
    text: "sample from this many likeliest tokens",
    parse: wholeNumber(1, COUNT_MAX),
  },
  {
    key: "minP",
    name: "min-p",
    unit: "p",
    text: "leave out tokens below this share of the likeliest one's",
    parse: decimal(SAMPLING_RANGES.minP),
  },
  {
    key: "repetitionPenalty",
    name: "repetition-penalty",
    unit: "x",
    text: "weaken tokens of question and answer; 1 is off",
    parse: decimal(SAMPLING_RANGES.repetitionPenalty),
  },
  {
    key: "presencePenalty",
    name: "presence-penalty",
    unit: "x",
    text: "weaken tokens that the answer holds",
    parse: decimal(SAMPLING_RANGES.presencePenalty),
  },
  {
    key: "frequencyPenalty",
    name: "frequency-penalty",
    unit: "x",
    text: "weaken tokens each time that the answer holds them",
    parse: decimal(SAMPLING_RANGES.frequencyPenalty),
  },
  {
    key: "seed",
    name: "seed",
    unit: "n",
    text: "the same seed gives the same answer",
    parse: wholeNumber(0, COUNT_MAX),
  },
  {
    key: "maxTokens",
    name: "max-tokens",
    unit: "n",
    text: "longest answer",
    parse: wholeNumber(1, COUNT_MAX),
  },
];
