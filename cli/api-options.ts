import { type Command, Option } from "commander";
import { TREE_HOST_SESSIONS_MAX } from "../actors/session-port.ts";
import { portNumber, wholeNumber } from "./option-values.ts";

const QUEUE_MAX = 65_536;
const QUEUE_WAIT_S_MAX = 3600;

/** What `flowmesh up` takes about its HTTP API: where it listens, who may use it, and how many at once. */
export function apiOptions(command: Command): Command {
  return command
    .addOption(new Option("--port <port>", "port of the HTTP API").argParser(portNumber).default(8080))
    .option("--host <address>", "address that the HTTP API listens on", "127.0.0.1")
    .option("--keys <file>", "API keys (default: those of 'flowmesh keys'); with any, others are refused")
    .option("--open", "let other machines use the API without a key")
    .option("--cors <origin...>", "web pages that may use the API, like https://chat.example.org")
    .option("--tls-cert <file>", "certificate chain (PEM): the API is served by HTTPS")
    .option("--tls-key <file>", "its private key (PEM)")
    .addOption(
      new Option("--max-sessions <n>", "answers at once; further requests wait")
        .argParser(wholeNumber(1, TREE_HOST_SESSIONS_MAX))
        .default(128),
    )
    .addOption(
      new Option("--queue <n>", "requests that may wait; beyond them the API answers 429")
        .argParser(wholeNumber(0, QUEUE_MAX))
        .default(256),
    )
    .addOption(
      new Option("--queue-wait <seconds>", "how long a request waits before the API answers 503")
        .argParser(wholeNumber(1, QUEUE_WAIT_S_MAX))
        .default(30),
    );
}
