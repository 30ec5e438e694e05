import type { Browser, BrowserContextOptions, Page } from "playwright-core";

/** How long anything on the page may take. */
const PATIENCE_MS = 60_000;

/** Settings of the page that a test begins with; see web/settings.ts. */
export interface Preset {
  readonly policy?: string;
  readonly temperature?: number;
  readonly seed?: number;
  readonly maxTokens?: number;
  readonly compare?: boolean;
  readonly theme?: string;
  readonly tools?: string;
}

/** The page in a window of its own, and what it did that nobody sees. */
export class OpenedPage implements AsyncDisposable {
  readonly page: Page;
  /** Hosts that it asked for something. */
  readonly hosts = new Set<string>();
  /** What it complained of: errors of scripts, and what the security policy held back. */
  readonly complaints: string[] = [];

  static async open(
    browser: Browser,
    url: string,
    preset: Preset = {},
    options: BrowserContextOptions = {},
  ): Promise<OpenedPage> {
    const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    const opened = new OpenedPage(await context.newPage());
    await opened.page.addInitScript((kept) => {
      localStorage.setItem("flowmesh-settings", kept);
    }, JSON.stringify(preset));
    await opened.page.goto(url);
    await opened.page.locator(".stage").first().waitFor();
    return opened;
  }

  private constructor(page: Page) {
    this.page = page;
    page.on("request", (request) => this.hosts.add(new URL(request.url()).host));
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      // A refused request is told by the page itself.
      const isRefusal = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isRefusal) this.complaints.push(message.text());
    });
  }

  /** Returns when the question stands in the conversation. */
  async ask(question: string): Promise<void> {
    const turns = this.page.locator(".turn");
    const asked = await turns.count();
    await this.page.getByLabel("Your question").fill(question);
    await this.page.keyboard.press("Enter");
    await turns.nth(asked).waitFor();
  }

  /** The answer, or both, have ended. */
  async untilAnswered(): Promise<void> {
    await this.page.getByRole("button", { name: "Send" }).waitFor();
    await this.page.locator(".runs[aria-busy=false]").last().waitFor();
  }

  async answers(): Promise<string[]> {
    return await this.page.locator(".run .markdown").allInnerTexts();
  }

  /** A number that the panel shows. */
  async figure(id: string): Promise<number> {
    return Number.parseFloat(
      (await this.page.locator(`[data-figure=${id}]`).innerText()).replace("–", "NaN"),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}
