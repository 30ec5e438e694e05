import { expect, test } from "bun:test";
import { playConversation } from "../../bench/conversation.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { ByteText, bytes, END_TOKEN } from "../http/byte-text.ts";
import { ScriptedSessions } from "../http/scripted-sessions.ts";
import { madeRecord } from "./made-records.ts";

/** Hides the end token, as the model's own text does. */
class ModelBytes extends ByteText {
  override decoder() {
    const decoder = super.decoder();
    return {
      push: (tokens: readonly number[]) => decoder.push(tokens.filter((token) => token !== END_TOKEN)),
      flush: () => decoder.flush(),
    };
  }
}

test("a later turn's prompt holds the earlier turns and the answers given, with the same sampling", async () => {
  const answers = ["Hi.", "Well, no.", "Bye."];
  const sessions = new ScriptedSessions(() => {
    const answer = bytes(answers[sessions.opened.length] ?? "");
    return { commits: [answer.slice(0, 1), [...answer.slice(1), END_TOKEN]] };
  });
  const observer = { take: () => madeRecord({}) };
  const bench = { sessions, observer, stageCount: 2, settleMs: 0 };
  const sampling = { ...GREEDY, temperature: 1, seed: 7 };
  const order = { policy: "flowspec", turns: ["Hello", "Sure?", "Ok"], sampling, maxTokens: 99 };
  const played = await playConversation(bench, new ModelBytes(), order);

  expect(sessions.opened.map(({ request }) => String.fromCharCode(...request.prompt))).toEqual([
    "[user]Hello\n",
    "[user]Hello\n[assistant]Hi.\n[user]Sure?\n",
    "[user]Hello\n[assistant]Hi.\n[user]Sure?\n[assistant]Well, no.\n[user]Ok\n",
  ]);
  for (const { request } of sessions.opened) {
    expect(request).toMatchObject({ policy: "flowspec", sampling, maxTokens: 99, stopTokens: [END_TOKEN] });
  }
  expect(played.map(({ run }) => run.tokens)).toEqual(answers.map((answer) => [...bytes(answer), END_TOKEN]));
});

test("a session that fails ends the bench with the mesh's own words", async () => {
  const sessions = new ScriptedSessions({
    commits: [[1]],
    end: "error",
    message: "stage 1 is out of memory",
  });
  const bench = { sessions, observer: { take: () => madeRecord({}) }, stageCount: 2, settleMs: 0 };
  const order = { policy: "naive", turns: ["Hello"], sampling: GREEDY, maxTokens: 9 };
  const failure = await playConversation(bench, new ByteText(), order).catch(String);
  expect(failure).toMatch(/policy naive failed: stage 1 is out of memory/);
});
