import { source as axeSource } from "axe-core";
import type { Page } from "playwright-core";

/** Values that an attribute, or `text`, of such elements has from now on, each once; the result gives them. */
export async function collect(page: Page, selector: string, attribute: string) {
  await page.evaluate(
    ([wanted, name]) => {
      const seen = new Set<string>();
      Object.assign(window, { [`seen-${wanted}-${name}`]: seen });
      new MutationObserver(() => {
        for (const element of document.querySelectorAll(wanted)) {
          seen.add(name === "text" ? (element.textContent ?? "") : (element.getAttribute(name) ?? ""));
        }
      }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
    },
    [selector, attribute] as const,
  );
  return () =>
    page.evaluate(([wanted, name]) => [...(Reflect.get(window, `seen-${wanted}-${name}`) as Set<string>)], [
      selector,
      attribute,
    ] as const);
}

/** What axe-core finds against WCAG 2.2 AA and good practice: rule, and the elements. */
export async function violations(page: Page): Promise<[string, string[]][]> {
  await page.evaluate(axeSource);
  return await page.evaluate(async () => {
    const axe = Reflect.get(window, "axe") as typeof import("axe-core");
    const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const results = await axe.run(document, { runOnly });
    return results.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 120))]);
  });
}

/** What is pruned fades, and is gone soon; while it fades it has less contrast than text needs. */
export const untilFaded = (page: Page): Promise<void> => page.waitForTimeout(700);
