/** Markdown that grows: every block but the last is settled, rendered once and left alone; only the tail is rendered again.
 * Of a long paragraph only the end is: what stands before it is left until the paragraph is complete. A block of code is appended to.
 *
 * Rendering a long answer anew each frame would cost minutes of CPU. What a model writes is not trusted: raw HTML is shown as
 * text, pictures become links (a remote one would tell its server what the answer was), and DOMPurify has the last word.
 */

import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens } from "marked";
import { words } from "../../words";
import { drawMath, MATH } from "./math";

/** The pause between two renderings: this, or as many times what the last one took, so that a slow machine stays quick. */
const PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 400;
const PAUSE_FOR_COST = 15;
/** Of a paragraph that is longer than this, all but the end is left alone. */
const LONG_PARAGRAPH = 800;
const END_OF_PARAGRAPH = 200;
const PLACES_TRIED = 20;
/** So many blocks share one box that the browser skips while it is out of sight: a box for each block would cost, in each frame, more
 * than drawing those in sight. */
const BLOCKS_IN_A_BOX = 16;
const LIKELY_BLOCK_PX = 90;
/** So many characters are drawn at once; what more there is follows frame by frame, so that the page can be used meanwhile. */
const DRAWN_AT_ONCE = 40_000;

const escapeHtml = (text: string) =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
  extensions: MATH,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    code: ({ text, lang }) => `<pre><code data-lang="${escapeHtml(lang?.split(/\s/)[0] ?? "")}">${escapeHtml(text)}\n</code></pre>`,
    image({ href, text }) {
      return `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`;
    },
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node instanceof HTMLAnchorElement && node.hasAttribute("href")) {
    node.target = "_blank";
    node.rel = "noopener noreferrer nofollow";
  }
});

/** marked reads every line's end as one character, and its tokens have that. */
const withoutReturns = (text: string) => (text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text);

const toFragment = (tokens: Token[]) => sanitized(marked.parser(tokens));

/** Markup that was opened and not closed is shown as it is written, until it is closed. */
function isClosed(text: string): boolean {
  const many = (char: string) => text.split(char).length - 1;
  return ["*", "_", "`", "~"].every((char) => many(char) % 2 === 0) && many("[") === many("]") && many("(") === many(")") && text.split(/\$(?!\d)/).length % 2 === 1;
}

/** How much of a long paragraph can be left alone: up to a word near its end before which no markup is open; 0 if there is none.
 * What follows begins with a letter, so that it can't be read as the begin of a list or of another block. */
function settledLength(text: string): number {
  const places = [...text.slice(0, -END_OF_PARAGRAPH).matchAll(/ (?=\p{L})/gu)].map(({ index }) => index + 1);
  const tried = places.slice(-PLACES_TRIED).reverse();
  const found = tried.find((place) => isClosed(text.slice(0, place)));
  return found ?? (text.length > 4 * LONG_PARAGRAPH ? (tried[0] ?? 0) : 0);
}

function sanitized(html: string): DocumentFragment {
  return DOMPurify.sanitize(html, {
    RETURN_DOM_FRAGMENT: true,
    FORBID_ATTR: ["style", "class", "id", "name"],
    ADD_URI_SAFE_ATTR: ["align", "start", "type", "checked", "disabled"],
    FORBID_TAGS: ["style", "form", "img", "svg", "math"],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  });
}

/** The blocks at the beginning of a text, two of them or more if there is more. The last of these may go on in what follows. */
function nextTokens(text: string): { tokens: Token[]; more: boolean } {
  for (let most = DRAWN_AT_ONCE; most < text.length; most *= 2) {
    const end = text.lastIndexOf("\n\n", most);
    const tokens = end > 0 ? marked.lexer(text.slice(0, end)) : [];
    if (tokens.length > 1) return { tokens, more: true };
  }
  return { tokens: marked.lexer(text), more: false };
}

export class GrowingMarkdown {
  private text = "";
  private settledText = "";
  private tail: HTMLElement | null = null;
  /** The beginning of a long paragraph at the end, which is left alone, and where the rest of it is. */
  private begun = "";
  private rest: HTMLElement | null = null;
  /** A block of code at the end, and what it shows. */
  private code: { element: HTMLElement; text: string; lang?: string } | null = null;
  private frame = 0;
  private timer = 0;
  private lastRender = 0;
  private pause = PAUSE_MS;
  private complete = false;
  private cited = new Set<number>();
  private onCitation: (number: number) => void = () => undefined;

  constructor(private readonly root: HTMLElement) {}

  /** Shows this text, which usually is the last one and more; at most twenty times a second. */
  show(text: string): void {
    this.text = text;
    this.complete = false;
    if (this.frame || this.timer) return;
    const rest = this.pause - (performance.now() - this.lastRender);
    if (rest > 0) this.timer = window.setTimeout(() => this.render(), rest);
    else this.frame = requestAnimationFrame(() => this.render());
  }

  /** Shows the whole text, settled: nothing more comes. */
  finish(text: string): void {
    this.cancel();
    this.text = text;
    this.complete = true;
    this.render();
  }

  /** Makes `[1]` in the text a button for each of these numbers. */
  cite(numbers: Iterable<number>, onCitation: (number: number) => void): void {
    this.cited = new Set(numbers);
    this.onCitation = onCitation;
    if (this.cited.size) for (const block of this.root.querySelectorAll(".block")) this.markCitations(block);
  }

  dispose(): void {
    this.cancel();
  }

  private cancel(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.frame = this.timer = 0;
  }

  private clear(): void {
    this.root.replaceChildren();
    this.takeTail(null);
    this.settledText = "";
  }

  private render(): void {
    this.frame = this.timer = 0;
    this.lastRender = performance.now();
    const more = this.draw(withoutReturns(this.text));
    if (more) this.frame = requestAnimationFrame(() => this.render());
    this.pause = Math.min(LONGEST_PAUSE_MS, Math.max(PAUSE_MS, PAUSE_FOR_COST * (performance.now() - this.lastRender)));
  }

  /** Draws what is new, or as much of it as is drawn at once; returns whether there is more. */
  private draw(text: string): boolean {
    const isGrown = text.startsWith(this.settledText) && text.startsWith(this.begun, this.settledText.length);
    if (!isGrown) this.clear(); // a lost attempt's text, which is dropped
    const { tokens, more } = nextTokens(text.slice(this.settledText.length + this.begun.length));
    const whole = this.complete && !more;
    const last = whole ? tokens.length : tokens.length - 1;
    for (const token of tokens.slice(0, last)) this.settle(token);
    if (more) return true;
    const rest = tokens[last];
    if (rest && rest.type !== "space") this.drawTail(rest);
    else {
      if (whole && this.begun) this.settle({ type: "text", raw: "" });
      this.tail?.remove(); // the text was cut back
      this.takeTail(null);
    }
    return false;
  }

  /** Renders a block that is complete; a long paragraph as a whole now. */
  private settle(token: Token): void {
    const raw = this.begun + token.raw;
    const tokens = this.begun ? marked.lexer(raw) : [token];
    this.settledText += raw;
    if (token.type === "space" && !this.begun) return;
    const block = this.takeTail(this.tail ?? this.addBlock());
    block.replaceChildren(toFragment(tokens));
    this.decorate(block);
  }

  private drawTail(token: Token): void {
    this.tail ??= this.addBlock();
    if (token.type === "paragraph" && (this.begun || token.raw.length > LONG_PARAGRAPH)) return this.drawParagraph(this.tail, token.raw);
    const written = token.type === "code" ? (token as Tokens.Code) : null;
    if (written && this.code?.lang === written.lang && written.text.startsWith(this.code?.text ?? "")) return this.appendCode(written.text);
    const tokens = this.begun ? marked.lexer(this.begun + token.raw) : [token]; // a paragraph that became something else
    this.begun = "";
    this.rest = null;
    this.tail.replaceChildren(toFragment(tokens));
    const element = written && this.tail.querySelector<HTMLElement>("pre > code");
    if (element) element.textContent = written.text;
    this.code = element && { element, text: written.text, lang: written.lang };
    this.dress(this.tail);
  }

  private drawParagraph(tail: HTMLElement, raw: string): void {
    if (!this.rest) {
      const paragraph = document.createElement("p");
      this.rest = paragraph.appendChild(document.createElement("span"));
      tail.replaceChildren(paragraph);
    }
    const length = raw.length > LONG_PARAGRAPH ? settledLength(raw) : 0;
    if (length) {
      const settled = document.createElement("span");
      this.fill(settled, raw.slice(0, length));
      this.rest.before(settled);
      this.begun += raw.slice(0, length);
    }
    this.fill(this.rest, raw.slice(length));
  }

  private fill(part: HTMLElement, raw: string): void {
    part.replaceChildren(sanitized(marked.parseInline(raw) as string));
    this.dress(part);
  }

  /** Adds what is new as a text of its own: what is there need not be laid out again. */
  private appendCode(text: string): void {
    if (!this.code) return;
    this.code.element.append(text.slice(this.code.text.length));
    this.code.text = text;
  }

  /** Hands over the block at the end: what comes next gets one of its own. */
  private takeTail<B extends HTMLElement | null>(block: B): B {
    this.tail = this.rest = this.code = null;
    this.begun = "";
    return block;
  }

  private addBlock(): HTMLElement {
    const block = document.createElement("div");
    block.className = "block";
    const box = this.openBox();
    box.append(block);
    box.style.containIntrinsicSize = `auto ${box.childElementCount * LIKELY_BLOCK_PX}px`;
    return block;
  }

  /** The last box, if it has room for a block; else a new one. */
  private openBox(): HTMLElement {
    const last = this.root.lastElementChild;
    if (last instanceof HTMLElement && last.childElementCount < BLOCKS_IN_A_BOX) return last;
    const box = document.createElement("div");
    box.className = "blocks";
    this.root.append(box);
    return box;
  }

  private decorate(block: HTMLElement): void {
    for (const table of block.querySelectorAll("table")) wrapTable(table);
    for (const code of block.querySelectorAll<HTMLElement>("pre > code")) wrapCode(code);
    this.dress(block);
  }

  private dress(block: Element): void {
    drawMath(block);
    this.markCitations(block);
  }

  private markCitations(block: Element): void {
    if (!this.cited.size) return;
    const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
    const found: Text[] = [];
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (/\[\d+\]/.test(node.nodeValue ?? "") && !node.parentElement?.closest("pre, code, a, button")) found.push(node as Text);
    }
    for (const node of found) this.replaceCitations(node);
  }

  private replaceCitations(node: Text): void {
    const pieces = (node.nodeValue ?? "").split(/(\[\d+\])/);
    const nodes = pieces.map((piece) => {
      const number = Number(/^\[(\d+)\]$/.exec(piece)?.[1]);
      if (!this.cited.has(number)) return document.createTextNode(piece);
      const button = document.createElement("button");
      button.type = "button";
      button.className = "cite";
      button.textContent = String(number);
      button.setAttribute("aria-label", words.value.chat.citation(number));
      button.addEventListener("click", () => this.onCitation(number));
      return button;
    });
    node.replaceWith(...nodes);
  }
}

function wrapTable(table: HTMLTableElement): void {
  const frame = document.createElement("div");
  frame.className = "table-frame";
  frame.tabIndex = 0;
  table.replaceWith(frame);
  frame.append(table);
}

function wrapCode(code: HTMLElement): void {
  const language = code.dataset.lang ?? "";
  const pre = code.parentElement as HTMLPreElement;
  const frame = document.createElement("div");
  frame.className = "code";
  const head = document.createElement("div");
  head.className = "code-head";
  const name = document.createElement("span");
  name.textContent = language;
  head.append(name, copyButton(() => code.textContent ?? ""));
  pre.tabIndex = 0;
  pre.replaceWith(frame);
  frame.append(head, pre);
  if (language) {
    import("./highlight").then(({ highlight }) => highlight(code, language)).catch(() => undefined);
  }
}

function copyButton(text: () => string): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "code-copy";
  button.textContent = words.value.copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    button.textContent = words.value.copied;
    setTimeout(() => (button.textContent = words.value.copy), 1_500);
  });
  return button;
}
