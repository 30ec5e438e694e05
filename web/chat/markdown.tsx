import { Lexer, type MarkedToken, type Token, type Tokens } from "marked";
import type { ComponentChildren, VNode } from "preact";
import { useMemo } from "preact/hooks";

/**
 * Markdown as elements. The text goes through no markup of ours on its way: HTML in it is shown as text, links
 * lead only where they say, and images, which would come from elsewhere, are links.
 */
export function Markdown({ text }: { readonly text: string }): VNode {
  const elements = useMemo(() => toElements(text), [text]);
  return <div class="markdown">{elements}</div>;
}

export const toElements = (text: string): ComponentChildren => blocks(new Lexer().lex(text));

type Element = ComponentChildren;

const blocks = (tokens: readonly Token[] | undefined): Element => tokens?.map(block);
const inlines = (tokens: readonly Token[] | undefined, text = ""): Element =>
  tokens === undefined ? unescaped(text) : tokens.map(inline);

/** Numbers as keys: while an answer grows, what stands already keeps its elements. */
function block(token: Token, key: number): Element {
  const known = token as MarkedToken;
  switch (known.type) {
    case "paragraph":
      return <p key={key}>{inlines(known.tokens)}</p>;
    case "heading":
      return heading(known, key);
    case "code":
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <pre key={key} tabIndex={0} data-language={known.lang}>
          <code>{known.text}</code>
        </pre>
      );
    case "blockquote":
      return <blockquote key={key}>{blocks(known.tokens)}</blockquote>;
    case "list":
      return list(known, key);
    case "table":
      return table(known, key);
    case "hr":
      return <hr key={key} />;
    case "space":
    case "def":
      return undefined;
    case "html":
      return <p key={key}>{known.text}</p>;
    default:
      return inline(token, key);
  }
}

/** The page has headings of its own above those of an answer. */
function heading({ depth, tokens }: Tokens.Heading, key: number): VNode {
  const Tag = `h${Math.min(6, depth + 2)}` as "h3";
  return <Tag key={key}>{inlines(tokens)}</Tag>;
}

function list({ ordered, start, items }: Tokens.List, key: number): VNode {
  const entries = items.map((item, index) => <li key={index.toString()}>{blocks(item.tokens)}</li>);
  return ordered ? (
    <ol key={key} start={Number(start)}>
      {entries}
    </ol>
  ) : (
    <ul key={key}>{entries}</ul>
  );
}

function table({ header, rows }: Tokens.Table, key: number): VNode {
  const cells = (row: readonly Tokens.TableCell[], Cell: "th" | "td") =>
    row.map(({ tokens, align }, index) => (
      <Cell key={index.toString()} class={align ? `align-${align}` : undefined}>
        {inlines(tokens)}
      </Cell>
    ));
  return (
    <div key={key} class="table">
      <table>
        <thead>
          <tr>{cells(header, "th")}</tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index.toString()}>{cells(row, "td")}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inline(token: Token, key: number): Element {
  const known = token as MarkedToken;
  switch (known.type) {
    case "strong":
      return <strong key={key}>{inlines(known.tokens)}</strong>;
    case "em":
      return <em key={key}>{inlines(known.tokens)}</em>;
    case "del":
      return <del key={key}>{inlines(known.tokens)}</del>;
    case "codespan":
      return <code key={key}>{known.text}</code>;
    case "br":
      return <br key={key} />;
    case "checkbox":
      return known.checked ? "☑ " : "☐ ";
    case "link":
    case "image":
      return link(known, key);
    case "text":
      return inlines(known.tokens, known.text);
    default:
      return "text" in known ? known.text : known.raw;
  }
}

function link({ href, tokens, text }: Tokens.Link | Tokens.Image, key: number): Element {
  if (!/^(https?:\/\/|mailto:)/i.test(href)) return inlines(tokens, text);
  return (
    <a key={key} href={href} target="_blank" rel="noopener noreferrer nofollow">
      {tokens.length === 0 ? href : inlines(tokens)}
    </a>
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  "#39": "'",
  nbsp: "\u00a0",
};

const unescaped = (text: string): string =>
  text.replaceAll(/&(#?\w{2,5});/g, (whole, name: string) => ENTITIES[name] ?? whole);
