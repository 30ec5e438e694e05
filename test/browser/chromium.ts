import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"];
const MAC_PROGRAMS = [
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const APT_LOCK_SECONDS = 300;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A headless browser with a profile of its own, which goes when it is closed. */
export async function startChromium(): Promise<Browser> {
  return await chromium.launch({ executablePath: await provideChromium(), headless: true, args: FLAGS });
}

/** The program on this machine; installed first where that is possible, else an Error that says what to do. */
async function provideChromium(): Promise<string> {
  const found = findChromium();
  if (found !== undefined) return found;
  if (Bun.which("apt-get") === null || process.getuid?.() !== 0) {
    throw new Error(
      `the browser tests need Chromium or Chrome on PATH (${NAMES.join(", ")}). Install one: on Debian and ` +
        "Ubuntu, as root, apt-get install chromium",
    );
  }
  process.stderr.write("installing chromium with apt-get, once…\n");
  const options = ["-q", "-y", "-o", `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`];
  await aptGet("update", ...options);
  await aptGet("install", ...options, "--no-install-recommends", "chromium");
  const installed = findChromium();
  if (installed === undefined) throw new Error("apt-get has installed chromium, but it is not on PATH");
  return installed;
}

function findChromium(): string | undefined {
  const onPath = NAMES.map((name) => Bun.which(name)).find((path) => path !== null);
  return onPath ?? MAC_PROGRAMS.find((path) => existsSync(path));
}

async function aptGet(...args: string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = Bun.spawn(["apt-get", ...args], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
    run.exited,
  ]);
  if (code !== 0) {
    throw new Error(`apt-get ${args[0]} failed, so there is no Chromium to test with:\n${output}${errors}`);
  }
}
