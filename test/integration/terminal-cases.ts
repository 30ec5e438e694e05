import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import * as v from "valibot";
import type { RunningMesh } from "../../bench/running-mesh.ts";
import { answerRecordSchema } from "../../cli/chat/answer-record.ts";
import { runFlowmesh } from "../flowmesh-command.ts";
import { untilIdle } from "../idle-mesh.ts";
import { TerminalCommand } from "../terminal-command.ts";

const MINUTES = 60_000;
const QUESTION = "Tell me about the sea.";

interface Place {
  mesh(): RunningMesh;
  /** Ends of sessions from now on. */
  hearEnds(): { readonly heard: readonly { readonly body: Record<string, unknown> }[]; stop(): void };
  until(condition: () => boolean): Promise<void>;
}

/** Tests of `flowmesh chat` on the mesh of the file that calls it. */
export function terminalCases({ mesh, hearEnds, until }: Place): void {
  describe("flowmesh chat", () => {
    test(
      "in a terminal: Ctrl-C stops the answer, lines can be edited, commands count, Ctrl-C at the prompt leaves",
      async () => {
        await using terminal = new TerminalCommand(["chat", "--url", mesh().url, "--seed", "3"]);
        await terminal.shows(/tokens of context[\s\S]*> /);
        const ends = hearEnds();
        terminal.type("Tell me a very long story.\r");
        await terminal.shows(/story\.[^a-z]*[a-zA-Z]+ [a-z]+/);
        terminal.type("\x03");
        await terminal.shows(/\(cancelled\)[\s\S]*> /);
        await until(() => ends.heard.length > 0);
        ends.stop();
        expect(ends.heard[0]?.body.reason).toBe("cancelled");
        await untilIdle(mesh().url);

        terminal.type("/policy nonsense\r");
        await terminal.shows(/unknown policy "nonsense"; there are: [\s\S]*> /);
        terminal.type("/max-tokens 4\r");
        await terminal.shows(/max-tokens: 4\r?\n[\s\S]*> /);
        // "Hllo", and the missing letter put in.
        terminal.type("Hllo?\x01\x1b[Ce\r");
        await terminal.shows(/4 tokens in [\d.]+ s: .*cut off at its token limit\r?\n[\s\S]*> /);
        terminal.type("\x1b[A");
        await terminal.shows(/Hello\?/);
        terminal.type("\x03");
        await terminal.shows(/\^C\r?\n[\s\S]*> /);
        terminal.type("\x03");
        expect(await terminal.exited).toBe(0);
      },
      2 * MINUTES,
    );

    test(
      "in a terminal: Ctrl-D leaves; with one question, Ctrl-C stops it, and the exit code says so",
      async () => {
        await using asking = new TerminalCommand([
          "chat",
          "--url",
          mesh().url,
          "--seed",
          "3",
          "Tell me a story.",
        ]);
        await using waiting = new TerminalCommand(["chat", "--url", mesh().url]);
        await waiting.shows(/tokens of context[\s\S]*> /);
        waiting.type("\x04");
        expect(await waiting.exited).toBe(0);
        await asking.shows(/[a-z]+ [a-z]+/);
        asking.type("\x03");
        expect(await asking.exited).toBe(130);
        expect(asking.shown).toContain("(cancelled)");
        await untilIdle(mesh().url);
      },
      2 * MINUTES,
    );

    test(
      "from a pipe: a line of JSON for each answer, the same as the API gives",
      async () => {
        const settings = ["--seed", "100", "--temperature", "0.8", "--max-tokens", "12"];
        const args = ["chat", "--json", "--url", mesh().url, ...settings];
        const { output, code } = await runFlowmesh(args, process.env, `${QUESTION}\n/clear\n${QUESTION}\n`);
        expect(code).toBe(0);
        const records = output
          .trimEnd()
          .split("\n")
          .map((line) => v.parse(answerRecordSchema, JSON.parse(line)));
        const client = new OpenAI({ baseURL: `${mesh().url}/v1`, apiKey: "none", maxRetries: 0 });
        const { choices, usage } = await client.chat.completions.create({
          model: "default",
          messages: [{ role: "user", content: QUESTION }],
          temperature: 0.8,
          seed: 100,
          max_tokens: 12,
        });
        expect(records).toHaveLength(2);
        for (const record of records) {
          expect(record).toMatchObject({ answer: choices[0]?.message.content, seed: 100, error: null });
          expect(record.usage).toMatchObject({ prompt_tokens: usage?.prompt_tokens, completion_tokens: 12 });
        }
      },
      2 * MINUTES,
    );
  });
}
