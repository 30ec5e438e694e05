import { describe, expect, test } from "bun:test";
import { untilFaded, violations } from "./observations.ts";
import type { OpenedPage, Preset } from "./opened-page.ts";

const MINUTES = 60_000;
export const COUNTING = "Count from one to thirty in words, each on a line.";
export const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};

interface Place {
  open(preset?: Preset, options?: object): Promise<OpenedPage>;
  meshUrl(): string;
  /** What must hold whatever a test did. */
  expectQuiet(opened: OpenedPage): void;
}

/** Tests of what is chosen in the settings, on the mesh and in the browser of the file that calls it. */
export function settingsCases({ open, meshUrl, expectQuiet }: Place): void {
  test(
    "settings count: policy, temperature, seed and system prompt go with the question; colours change at once, and stay",
    async () => {
      await using opened = await open({ maxTokens: 12 }, { colorScheme: "light" });
      const { page } = opened;
      const bodies: Record<string, unknown>[] = [];
      page.on("request", (request) => {
        if (request.url().endsWith("/chat/completions")) bodies.push(request.postDataJSON());
      });
      const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await page.getByRole("button", { name: "Settings" }).click();
      const offered = await page.getByLabel("Policy").locator("option").allInnerTexts();
      const models = (await (await fetch(`${meshUrl()}/v1/models`)).json()) as {
        data: { flowmesh: { policies: string[] } }[];
      };
      expect(offered.slice(1)).toEqual(models.data[0]?.flowmesh.policies ?? []);
      await page.getByLabel("Policy").selectOption("flowspec");
      await page.getByLabel("Temperature").fill("0.4");
      await page.getByLabel("Seed").fill("77");
      await page.getByLabel("System prompt").fill("Be brief.");
      await page.getByLabel("Colours").selectOption("dark");
      await page.getByRole("button", { name: "Done" }).click();
      const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      expect(dark).not.toBe(light);
      await opened.ask(COUNTING);
      await opened.untilAnswered();
      expect(bodies).toMatchObject([
        {
          temperature: 0.4,
          seed: 77,
          messages: [{ role: "system", content: "Be brief." }, { role: "user" }],
          flowmesh: { policy: "flowspec" },
        },
      ]);
      const kept = await page.evaluate(() => localStorage.getItem("flowmesh-settings"));
      expect(JSON.parse(kept ?? "")).toMatchObject({
        policy: "flowspec",
        temperature: 0.4,
        seed: 77,
        theme: "dark",
      });
      expectQuiet(opened);
    },
    MINUTES,
  );

  describe("tools", () => {
    const tools = [
      {
        type: "function",
        function: {
          name: "get_weather",
          parameters: {
            type: "object",
            properties: {
              city: { enum: ["Paris", "Rome"] },
              days: { type: "integer", minimum: 1, maximum: 9 },
            },
            required: ["city", "days"],
          },
        },
      },
    ];

    test(
      "a call is shown with its arguments, on a phone too, and the next question tells of it",
      async () => {
        await using opened = await open(
          { temperature: 0, maxTokens: 100, tools: JSON.stringify(tools) },
          PHONE,
        );
        const { page } = opened;
        const bodies: { messages: object[]; tools?: object[] }[] = [];
        await page.route("**/v1/chat/completions", async (route) => {
          bodies.push(route.request().postDataJSON());
          // This small model would rather talk.
          const [tool_choice, max_tokens] = bodies.length === 1 ? ["required", 60] : ["none", 4];
          await route.continue({
            postData: JSON.stringify({
              ...bodies.at(-1),
              tool_choice,
              max_tokens,
              parallel_tool_calls: false,
            }),
          });
        });
        await opened.ask("What is the weather in Rome?");
        await opened.untilAnswered();
        const call = page.locator(".call");
        await call.getByText("get_weather").waitFor();
        const shown = await call.locator("pre").innerText();
        const { city, days } = JSON.parse(shown);
        expect(["Paris", "Rome"]).toContain(city);
        expect(days).toBeWithin(1, 10);
        expect(shown).toBe(JSON.stringify({ city, days }, undefined, 2));
        // Long ones are wrapped, so that nobody has to scroll sideways.
        expect(await call.locator("pre").evaluate((pre) => pre.scrollWidth - pre.clientWidth)).toBe(0);
        expect(
          await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          ),
        ).toBe(0);
        await untilFaded(page);
        expect(await violations(page)).toEqual([]);
        await opened.ask("Thanks!");
        await opened.untilAnswered();
        expect(bodies.map((body) => body.tools)).toEqual([tools, tools]);
        expect(bodies[1]?.messages[1]).toMatchObject({
          role: "assistant",
          content: null,
          tool_calls: [{ type: "function", function: { name: "get_weather" } }],
        });
        expectQuiet(opened);
      },
      MINUTES,
    );

    test("what is no list of tools is told, and nothing is asked", async () => {
      await using opened = await open({ tools: "{" });
      await opened.ask("Hello?");
      await opened.page.getByRole("alert").getByText("must be a JSON list").waitFor();
    });
  });
}
