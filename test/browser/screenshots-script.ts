/**
 * Makes docs/screenshots/: `bun test/browser/screenshots-script.ts`. The stages act like small GPUs, so that the
 * pictures show a pipeline of devices and not one machine's cores.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { startMesh } from "../../bench/running-mesh.ts";
import { startChromium } from "./chromium.ts";
import { OpenedPage, type Preset } from "./opened-page.ts";

const FOLDER = join(import.meta.dir, "../../docs/screenshots");
const MOMENTS = 60;
const PRESET: Preset = { temperature: 0, seed: 3, maxTokens: 110 };
const QUESTION = "List three reasons to keep a diary, each with a short explanation.";
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

/** Shows the moment with most to see: a large tree, and segments in all stages. */
async function seekBusiest({ page }: OpenedPage): Promise<void> {
  const slider = page.getByLabel("Time");
  const lengthMs = Number(await slider.getAttribute("max"));
  let best = { atMs: 0, score: -1 };
  for (let moment = 20; moment < MOMENTS; moment++) {
    const atMs = Math.round((lengthMs * moment) / MOMENTS / 10) * 10;
    await slider.fill(String(atMs));
    await page.waitForTimeout(30);
    const score = await page.evaluate(() => {
      const count = (selector: string) => document.querySelectorAll(selector).length;
      const places = [...document.querySelectorAll(".segment:not([data-kind=done])")];
      const stages = new Set(places.map((each) => each.getAttribute("data-stage"))).size;
      return (
        4 * stages +
        Math.min(8, count(".node[data-state=sent]")) +
        Math.min(8, count(".node[data-state=drafted]"))
      );
    });
    if (score > best.score) best = { atMs, score };
  }
  await slider.fill(String(best.atMs));
  await slider.blur();
  await page.waitForTimeout(800);
}

await mkdir(FOLDER, { recursive: true });
const mesh = await startMesh("--device", "jetson-like", "--link", "1ms/150mbit");
const browser = await startChromium();
try {
  const shoot = async (name: string, preset: Preset, options: object, fullPage = false) => {
    await using opened = await OpenedPage.open(browser, mesh.url, { ...PRESET, ...preset }, options);
    await opened.ask(QUESTION);
    await opened.untilAnswered();
    if (preset.compare)
      await opened.page.getByRole("button", { name: "Show in the pipeline" }).first().click();
    await seekBusiest(opened);
    await opened.page.screenshot({ path: join(FOLDER, `${name}.png`), fullPage });
  };
  await shoot("light", {}, { colorScheme: "light" });
  await shoot("dark", { compare: true, maxTokens: 70 }, { colorScheme: "dark" });
  await shoot("phone", {}, { ...PHONE, colorScheme: "light" }, true);
} finally {
  await browser.close();
  await mesh.stop();
}
