/** The web page in a real browser, on a real mesh. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { untilIdle } from "../idle-mesh.ts";
import { startChromium } from "./chromium.ts";
import { collect, untilFaded, violations } from "./observations.ts";
import { OpenedPage, type Preset } from "./opened-page.ts";
import { COUNTING, PHONE, settingsCases } from "./settings-cases.ts";

const MINUTES = 60_000;
/** One whose tree is large whatever the machine. */
const SPECULATING: Preset = { policy: "flowspec", temperature: 0, seed: 1, maxTokens: 40 };

let mesh: RunningMesh;
let browser: Browser;

beforeAll(async () => {
  [mesh, browser] = await Promise.all([startMesh("--stages", "2"), startChromium()]);
}, 6 * MINUTES);

afterAll(async () => {
  await browser?.close();
  await mesh?.stop();
});

const open = (preset: Preset = {}, options = {}): Promise<OpenedPage> =>
  OpenedPage.open(browser, mesh.url, preset, options);

/** What must hold whatever a test did. */
function expectQuiet({ hosts, complaints }: OpenedPage): void {
  expect(complaints).toEqual([]);
  expect([...hosts]).toEqual([new URL(mesh.url).host]);
}

/** Letters and digits: what Markdown leaves as it is. */
const letters = (text: string): string => text.replaceAll(/[^\p{L}\p{N}]/gu, "");

async function askApi(question: string, preset: Preset): Promise<string> {
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      messages: [{ role: "user", content: question }],
      temperature: preset.temperature,
      seed: preset.seed,
      max_tokens: preset.maxTokens,
    }),
  });
  const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
  return choices[0]?.message.content ?? "";
}

describe("a chat", () => {
  test(
    "streams the answer that the API gives with the same seed",
    async () => {
      const preset = { temperature: 0.8, seed: 11, maxTokens: 40 };
      await using opened = await open(preset);
      const { page } = opened;
      const texts = await collect(page, ".run .markdown", "text");
      await opened.ask("Why is the sky blue?");
      await opened.untilAnswered();
      const [answer = ""] = await opened.answers();
      expect(letters(answer)).toBe(letters(await askApi("Why is the sky blue?", preset)));
      const grown = (await texts()).map((text) => text.length);
      expect(grown.length).toBeGreaterThan(5);
      expect(grown).toEqual(grown.toSorted((a, b) => a - b));
      expect(await page.locator(".run-figures").innerText()).toMatch(
        /\d+ tokens · [\d.]+ tokens\/s .*seed 11/,
      );
      // The conversation goes on.
      await opened.ask("And at night?");
      await opened.untilAnswered();
      expect(await opened.answers()).toHaveLength(2);
      expectQuiet(opened);
    },
    2 * MINUTES,
  );

  test(
    "can be stopped, and an answer can be had again",
    async () => {
      await using opened = await open({ temperature: 1, seed: 4, maxTokens: 1500 });
      const { page } = opened;
      await opened.ask("Tell me a very long story.");
      await page.locator(".run[data-state=streaming] .markdown").waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await page.getByText("Stopped.").waitFor();
      const stopped = (await opened.answers())[0] ?? "";
      expect(stopped.length).toBeGreaterThan(0);
      await untilIdle(mesh.url);
      expect((await opened.answers())[0]).toBe(stopped);

      await page.getByRole("button", { name: "Settings" }).click();
      await page.getByLabel("Tokens at most").fill("12");
      await page.getByRole("button", { name: "Done" }).click();
      await page.getByRole("button", { name: "Regenerate" }).click();
      await page.locator(".run[data-state=done]").waitFor();
      expect(await opened.answers()).toHaveLength(1);
      // With the same seed it is the same answer, as far as each of them goes.
      const [again = ""] = await opened.answers();
      const [shorter = "", longer = ""] = [letters(stopped), letters(again)].sort(
        (a, b) => a.length - b.length,
      );
      expect(shorter.length).toBeGreaterThan(0);
      expect(longer).toStartWith(shorter);
      expectQuiet(opened);
    },
    2 * MINUTES,
  );
});

describe("the pipeline", () => {
  test(
    "shows the tree growing, segments passing the stages, and what became of the guesses",
    async () => {
      await using opened = await open(SPECULATING);
      await using other = await open();
      const { page } = opened;
      const states = await collect(page, ".node", "data-state");
      const sizes = await collect(page, ".tree svg", "data-nodes");
      const places = await collect(page, ".node", "style");
      const stages = await collect(page, ".segment", "data-stage");
      await opened.ask(COUNTING);
      await opened.untilAnswered();
      expect((await states()).toSorted()).toEqual(["accepted", "drafted", "pruned", "sent"]);
      expect(Math.max(...(await sizes()).map(Number))).toBeGreaterThan(10);
      expect((await sizes()).length).toBeGreaterThan(4);
      expect((await places()).length).toBeGreaterThan(10);
      expect((await stages()).toSorted()).toEqual(["0", "1", "2"]);

      const summary = await page.locator(".ribbon figcaption").innerText();
      const [guessed = 0, count = 0] = [...summary.matchAll(/\d+/g)].map(Number);
      expect(count).toBe(40);
      // Numbers in words are easy to guess.
      expect(guessed).toBeGreaterThan(8);
      expect(await page.locator(".ribbon mark").count()).toBe(guessed);
      const [marked, plain] = await page.evaluate(() =>
        [".ribbon mark", ".ribbon"].map((each) => getComputedStyle(document.querySelector(each)!).color),
      );
      expect(marked).not.toBe(plain!);
      expect(await opened.figure("rate")).toBeGreaterThan(0);
      expect(await opened.figure("accepted-length")).toBeGreaterThan(1);
      expect(await opened.figure("guessed")).toBe(Math.round((100 * guessed) / count));

      // Shown again from its beginning, by keyboard.
      await page.getByLabel("Time").focus();
      await page.keyboard.press("Home");
      expect(await page.locator(".ribbon").count()).toBe(0);
      await page.keyboard.press("End");
      await page.locator(".ribbon").waitFor();
      expect(await page.locator(".ribbon figcaption").innerText()).toBe(summary);

      // The session was this page's alone.
      expect(await other.page.locator(".policy").innerText()).toBe("");
      for (const each of [opened, other]) expectQuiet(each);
    },
    2 * MINUTES,
  );

  test("says where the stages run", async () => {
    await using opened = await open();
    const stages = await opened.page.locator(".stage").allInnerTexts();
    expect(stages).toHaveLength(2);
    expect(stages[0]).toMatch(/stage 0\s+layers 0–\d+\s+\S+ · \d+/);
    expect(stages[1]).toMatch(/verifier\s+layers \d+–29\s/);
    expect(await opened.page.locator(".others").innerText()).toMatch(/drafter .*gateway .*tree-host/);
  });
});

describe("side by side with plain decoding", () => {
  test(
    "the text is the same, and the page says so",
    async () => {
      await using opened = await open({ ...SPECULATING, temperature: 0.9, seed: 5 });
      const { page } = opened;
      await page.getByLabel("Compare with plain decoding").check();
      await opened.ask("Describe a harbour.");
      await page.getByText("Same text").waitFor();
      const [first, plain, ...none] = await opened.answers();
      expect(none).toEqual([]);
      expect(plain).toBe(first!);
      expect(first!.length).toBeGreaterThan(40);
      const policies = await page
        .locator(".run")
        .evaluateAll((runs) => runs.map((run) => run.dataset.policy));
      expect(policies).toEqual(["flowspec", "autoregressive"]);
      expect(await page.locator(".verdict").innerText()).toMatch(/[\d.]+ times as many tokens a second/);
      expectQuiet(opened);
    },
    2 * MINUTES,
  );

  test(
    "a text that differs would be shown as an error",
    async () => {
      await using opened = await open({ temperature: 0, maxTokens: 8, compare: true });
      const { page } = opened;
      await page.route("**/v1/chat/completions", async (route) => {
        const isPlain = route.request().postDataJSON().flowmesh.policy === "autoregressive";
        if (!isPlain) return await route.continue();
        const chunk = { choices: [{ delta: { content: "Something else" }, finish_reason: null }] };
        const body = `data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`;
        await route.fulfill({ contentType: "text/event-stream", body });
      });
      await opened.ask("Describe a harbour.");
      await page.locator(".verdict[data-same=false]").getByText("must never be").waitFor();
    },
    2 * MINUTES,
  );
});

settingsCases({ open, meshUrl: () => mesh.url, expectQuiet });

describe("errors", () => {
  test(
    "are shown in the server's words, and the next question is answered",
    async () => {
      await using opened = await open({ maxTokens: 5 });
      const { page } = opened;
      await opened.ask("word ".repeat(9000));
      expect(await page.getByRole("alert").innerText()).toMatch(/tokens long.* context is 8192/);
      await page.getByRole("button", { name: "New chat" }).click();
      await page.locator(".welcome").waitFor();
      await opened.ask("Hello?");
      await opened.untilAnswered();
      expect(await page.getByRole("alert").count()).toBe(0);
      expect((await opened.answers())[0]?.length).toBeGreaterThan(0);
    },
    MINUTES,
  );

  test("a mesh that asks for a key gets it, with every request, once the person has given one", async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.addInitScript(() => localStorage.setItem("flowmesh-settings", '{"maxTokens": 5}'));
    const allowed = new Set<string>();
    const error = { message: "an API key is needed", type: "invalid_request_error", param: null, code: null };
    await page.route(/\/(v1|live)\b/, async (route) => {
      if (route.request().headers().authorization !== "Bearer secret") {
        return await route.fulfill({ status: 401, json: { error } });
      }
      allowed.add(new URL(route.request().url()).pathname);
      await route.continue();
    });
    await page.goto(mesh.url);
    await page.locator(".model").getByText("An API key is needed.").waitFor();
    await page.locator(".trouble").getByText("An API key is needed.").waitFor();
    await page.getByLabel("Your question").fill("Hello?");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("Give a key under Settings.").waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("API key").fill("secret");
    await page.getByRole("button", { name: "Done" }).click();
    await page.locator(".stage").first().waitFor();
    await page.getByLabel("Your question").fill("Hello?");
    await page.keyboard.press("Enter");
    await page.locator(".run[data-state=done]").waitFor();
    expect([...allowed].sort()).toEqual(["/live", "/v1/chat/completions", "/v1/models"]);
    await context.close();
  });

  test("a gateway that has gone is named, and the answer can be tried again", async () => {
    await using opened = await open({ maxTokens: 5 });
    const { page } = opened;
    await page.route("**/v1/chat/completions", (route) => route.abort("connectionrefused"));
    await opened.ask("Hello?");
    expect(await page.getByRole("alert").innerText()).toContain("The gateway does not answer");
    await page.unroute("**/v1/chat/completions");
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator(".run[data-state=done]").waitFor();
    expect(await page.getByRole("alert").count()).toBe(0);
  });
});

describe("everyone", () => {
  test(
    "can use it with the keyboard alone",
    async () => {
      await using opened = await open({ seed: 4, maxTokens: 1500 });
      const { page } = opened;
      const focused = () =>
        page.evaluate(() => {
          const element = document.activeElement;
          const shown = element?.closest(".composer") ?? element;
          const label = element?.id === "question" ? "question" : element?.textContent;
          const styles = [element, shown].map((each) => (each ? getComputedStyle(each) : undefined));
          return {
            label,
            outlined: styles.some((style) => style !== undefined && style.outlineStyle !== "none"),
          };
        });
      const tabTo = async (label: string) => {
        for (let presses = 0; presses < 30; presses++) {
          await page.keyboard.press("Tab");
          const { label: at, outlined } = await focused();
          expect([at, outlined]).toEqual([at, true]);
          if (at === label) return;
        }
        throw new Error(`Tab does not reach ${label}`);
      };
      await tabTo("Settings");
      await page.keyboard.press("Enter");
      await page.getByLabel("Temperature: 0.7").focus();
      await page.keyboard.press("ArrowRight");
      await page.getByLabel("Temperature: 0.8").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await tabTo("question");
      await page.keyboard.type("Tell me a very long story.");
      await page.keyboard.press("Enter");
      await page.locator(".run[data-state=streaming]").waitFor();
      await tabTo("Stop");
      await page.keyboard.press("Space");
      await page.getByText("Stopped.").waitFor();
      await opened.ask("Tell me another very long story.");
      await page.locator(".run[data-state=streaming]").waitFor();
      await page.keyboard.press("Escape");
      await page.locator(".run[data-state=stopped]").nth(1).waitFor();
      expectQuiet(opened);
    },
    2 * MINUTES,
  );

  test.each(["light", "dark"] as const)(
    "finds enough contrast, names and roles, in %s",
    async (colorScheme) => {
      await using opened = await open(SPECULATING, { colorScheme });
      const { page } = opened;
      expect(await violations(page)).toEqual([]);
      await opened.ask(COUNTING);
      await opened.untilAnswered();
      await untilFaded(page);
      expect(await violations(page)).toEqual([]);
      await page.getByRole("button", { name: "Settings" }).click();
      expect(await violations(page)).toEqual([]);
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const [red = 0] = ground.match(/\d+/g)?.map(Number) ?? [];
      expect(red > 128).toBe(colorScheme === "light");
    },
    MINUTES,
  );

  test(
    "can read it on a phone",
    async () => {
      await using opened = await open(SPECULATING, PHONE);
      const { page } = opened;
      await opened.ask(COUNTING);
      await opened.untilAnswered();
      const overflow = () =>
        page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(await overflow()).toBe(0);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll("button, select, textarea, input[type=range], label.switch")]
          .map((element) => ({ text: element.textContent, height: element.getBoundingClientRect().height }))
          .filter(({ height }) => height > 0 && height < 24),
      );
      expect(small).toEqual([]);
      // The width of a PNG is at byte 16.
      const picture = Buffer.from(await page.screenshot());
      expect(picture.readUInt32BE(16)).toBe(780);
      expect(picture.length).toBeGreaterThan(20_000);
    },
    MINUTES,
  );

  test("who wants no motion gets none", async () => {
    await using opened = await open({ ...SPECULATING, maxTokens: 400 }, { reducedMotion: "reduce" });
    const { page } = opened;
    await opened.ask(COUNTING);
    await page.locator(".node").first().waitFor();
    // Nodes come and go: one that is there now is read at once.
    const durations = await page.evaluate(() =>
      [...document.querySelectorAll(".node, .segment, .busy-share")].map(
        (element) => getComputedStyle(element).transitionDuration,
      ),
    );
    expect(durations.length).toBeGreaterThan(2);
    expect(durations.flatMap((each) => each.split(", ")).filter((each) => each !== "0s")).toEqual([]);
    await page.getByRole("button", { name: "Pause" }).click();
    const shown = await page.locator(".tree svg").innerHTML();
    await page.waitForTimeout(500);
    expect(await page.locator(".tree svg").innerHTML()).toBe(shown);
    await page.keyboard.press("Escape");
  });
});
