import { describe, expect, test } from "bun:test";
import type { ComponentChildren, VNode } from "preact";
import { toElements } from "../../web/chat/markdown.tsx";

interface Flat {
  readonly text: string;
  readonly tags: readonly string[];
  readonly links: readonly string[];
  readonly attributes: readonly string[];
}

/** What a browser would show of it. */
function flatten(children: ComponentChildren): Flat {
  if (Array.isArray(children)) {
    const parts = children.map(flatten);
    return {
      text: parts.map(({ text }) => text).join(""),
      tags: parts.flatMap(({ tags }) => tags),
      links: parts.flatMap(({ links }) => links),
      attributes: parts.flatMap(({ attributes }) => attributes),
    };
  }
  if (typeof children !== "object" || children === null) {
    const text = typeof children === "string" || typeof children === "number" ? String(children) : "";
    return { text, tags: [], links: [], attributes: [] };
  }
  const { type, props } = children as VNode<Record<string, unknown>>;
  const inner = flatten(props.children as ComponentChildren);
  return {
    text: inner.text,
    tags: [String(type), ...inner.tags],
    links: [...(typeof props.href === "string" ? [props.href] : []), ...inner.links],
    attributes: [...Object.keys(props), ...inner.attributes],
  };
}

const show = (text: string): Flat => flatten(toElements(text));

describe("an answer's Markdown", () => {
  test("becomes elements", () => {
    const text =
      "## Plan\n\nFirst **bold**, *soft*, `code`.\n\n1. one\n2. two\n\n> said\n\n```ts\nlet a = 1 < 2;\n```\n";
    const { tags, text: shown } = show(text);
    expect(tags).toEqual([
      "h4",
      "p",
      "strong",
      "em",
      "code",
      "ol",
      "li",
      "li",
      "blockquote",
      "p",
      "pre",
      "code",
    ]);
    expect(shown).toContain("let a = 1 < 2;");
    expect(show("| a | b |\n|---|--:|\n| 1 | 2 |\n").tags).toEqual([
      "div",
      "table",
      "thead",
      "tr",
      "th",
      "th",
      "tbody",
      "tr",
      "td",
      "td",
    ]);
  });

  test("that is not complete yet is shown as far as it goes", () => {
    for (const text of ["**bo", "```ts\nlet a", "[link](http", "- ", "| a | b |\n|--", "<div", "&am"]) {
      for (let end = 0; end <= text.length; end++) expect(() => show(text.slice(0, end))).not.toThrow();
    }
    expect(show("```ts\nlet a").tags).toEqual(["pre", "code"]);
  });

  test.each([
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "a <b onclick=alert(1)>bold</b>",
    "<iframe src=//example.org></iframe>",
  ])("shows HTML as text: %s", (html) => {
    const { tags, text, attributes } = show(html);
    expect(text.trim()).toBe(html);
    expect(tags.filter((tag) => tag !== "p")).toEqual([]);
    expect(attributes.filter((name) => name !== "children")).toEqual([]);
  });

  test("links lead to the web and to mail only, and images are links", () => {
    expect(show("[a](https://example.org/x) <http://example.org> [m](mailto:a@example.org)").links).toEqual([
      "https://example.org/x",
      "http://example.org",
      "mailto:a@example.org",
    ]);
    for (const href of [
      "javascript:alert(1)",
      "JaVaScript:alert(1)",
      "data:text/html,x",
      "/v1/models",
      "vbscript:x",
    ]) {
      expect(show(`[click](${href})`)).toMatchObject({ links: [], text: "click" });
    }
    const image = show("![a cat](https://example.org/cat.png)");
    expect(image.tags).toEqual(["p", "a"]);
    expect(image.text).toBe("a cat");
  });

  test("character references are what they stand for", () => {
    expect(show("a &lt; b &amp;&amp; c").text).toBe("a < b && c");
    expect(show("&unknown; &").text).toBe("&unknown; &");
  });
});
