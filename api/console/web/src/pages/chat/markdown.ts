/** Markdown that grows: every block but the last is settled, rendered once and left alone; only the tail is rendered again.
 *
 * Rendering a long answer anew each frame would cost minutes of CPU. What a model writes is not trusted: raw HTML is shown as
 * text, pictures become links (a remote one would tell its server what the answer was), and DOMPurify has the last word.
 */

import DOMPurify from "dompurify";
import { Marked, type Token } from "marked";
import { words } from "../../words";

/** A tail longer than this (one endless table or block of code) is rendered a few times a second only. */
const LONG_TAIL = 20_000;
const LONG_TAIL_PAUSE_MS = 400;
const PAUSE_MS = 50;

const escapeHtml = (text: string) =>
  text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const marked = new Marked({
  gfm: true,
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

function toFragment(tokens: Token[]): DocumentFragment {
  return DOMPurify.sanitize(marked.parser(tokens), {
    RETURN_DOM_FRAGMENT: true,
    FORBID_ATTR: ["style", "class", "id", "name"],
    ADD_URI_SAFE_ATTR: ["align", "start", "type", "checked", "disabled"],
    FORBID_TAGS: ["style", "form", "img", "svg", "math"],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  });
}

export class GrowingMarkdown {
  private text = "";
  private settledText = "";
  private tail: HTMLElement | null = null;
  private frame = 0;
  private timer = 0;
  private lastRender = 0;
  private cited = new Set<number>();
  private onCitation: (number: number) => void = () => undefined;

  constructor(private readonly root: HTMLElement) {}

  /** Shows this text, which usually is the last one and more; at most twenty times a second. */
  show(text: string): void {
    this.text = withoutReturns(text);
    if (this.frame || this.timer) return;
    const pause = text.length - this.settledText.length > LONG_TAIL ? LONG_TAIL_PAUSE_MS : PAUSE_MS;
    const rest = pause - (performance.now() - this.lastRender);
    if (rest > 0) this.timer = window.setTimeout(() => this.render(), rest);
    else this.frame = requestAnimationFrame(() => this.render());
  }

  /** Shows the whole text at once, settled: nothing more comes. */
  finish(text: string): void {
    this.cancel();
    this.text = withoutReturns(text);
    this.render(true);
  }

  /** Makes `[1]` in the text a button for each of these numbers. */
  cite(numbers: Iterable<number>, onCitation: (number: number) => void): void {
    this.cited = new Set(numbers);
    this.onCitation = onCitation;
    if (this.cited.size) for (const block of this.root.children) this.markCitations(block);
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
    this.tail = null;
    this.settledText = "";
  }

  private render(whole = false): void {
    this.frame = this.timer = 0;
    this.lastRender = performance.now();
    if (!this.text.startsWith(this.settledText)) this.clear(); // a lost attempt's text, which is dropped
    const tokens = marked.lexer(this.text.slice(this.settledText.length));
    const last = whole ? tokens.length : tokens.length - 1;
    for (const token of tokens.slice(0, last)) {
      this.settledText += token.raw;
      if (token.type === "space") continue;
      const block = this.takeTail();
      block.replaceChildren(toFragment([token]));
      this.decorate(block);
    }
    const rest = tokens[last];
    if (!rest || rest.type === "space") {
      this.tail?.remove(); // the text was cut back
      this.tail = null;
      return;
    }
    this.tail ??= this.addBlock();
    this.tail.replaceChildren(toFragment([rest]));
    this.markCitations(this.tail);
  }

  private takeTail(): HTMLElement {
    const block = this.tail ?? this.addBlock();
    this.tail = null;
    return block;
  }

  private addBlock(): HTMLElement {
    const block = document.createElement("div");
    block.className = "block";
    this.root.append(block);
    return block;
  }

  private decorate(block: HTMLElement): void {
    for (const table of block.querySelectorAll("table")) wrapTable(table);
    for (const code of block.querySelectorAll<HTMLElement>("pre > code")) wrapCode(code);
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
