/** An answer's markdown as nodes: paragraphs, lists, tables, code, links. No HTML is ever parsed, so none can come through. */

const BLOCKS = /\n{2,}/;
const INLINE = /(`[^`\n]+`)|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>"')\]]+)/;

/** An answer that grows: what is complete is drawn once, the last block again with each `show`. */
export class Answer {
  private drawn: string[] = [];

  constructor(readonly element: HTMLElement) {}

  show(text: string): void {
    const blocks = split(text);
    let same = 0;
    while (same < blocks.length && same < this.drawn.length && blocks[same] === this.drawn[same]) same++;
    while (this.element.childNodes.length > same) this.element.lastChild?.remove();
    for (const block of blocks.slice(same)) this.element.append(draw(block));
    this.drawn = blocks;
  }
}

/** The blocks of a text; a block of code is one, whatever is in it. */
function split(text: string): string[] {
  const blocks: string[] = [];
  let fenced = "";
  for (const part of text.split(BLOCKS)) {
    const fences = part.match(/^```/gm)?.length ?? 0;
    if (fenced) {
      fenced += `\n\n${part}`;
      if (fences % 2) [fenced] = ["", blocks.push(fenced)];
    } else if (fences % 2) fenced = part;
    else if (part.trim()) blocks.push(part);
  }
  return fenced ? [...blocks, fenced] : blocks;
}

function draw(block: string): HTMLElement {
  const lines = block.trim().split("\n");
  const first = lines[0] ?? "";
  if (first.startsWith("```")) return code(block);
  if (lines.length > 1 && first.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[1] ?? "")) return table(lines);
  if (lines.every((line) => /^\s*([-*+]|\d+[.)])\s/.test(line) || /^\s{2,}/.test(line)) && /^\s*([-*+]|\d+[.)])\s/.test(first)) return list(lines);
  const heading = /^#{1,6}\s+(.*)/.exec(first);
  if (heading) return made("div", [made("strong", inline(heading[1] ?? "")), ...(lines.length > 1 ? [draw(lines.slice(1).join("\n"))] : [])]);
  if (/^(-{3,}|\*{3,})$/.test(first) && lines.length === 1) return made("hr", []);
  return made("p", lines.flatMap((line, place) => (place ? [made("br", []), ...inline(line)] : inline(line))));
}

function code(block: string): HTMLElement {
  const text = block.replace(/^\s*```[^\n]*\n?/, "").replace(/\n?```\s*$/, "");
  const element = made("pre", [made("code", [text])]);
  element.tabIndex = 0;
  return element;
}

function list(lines: string[]): HTMLElement {
  const items: string[] = [];
  for (const line of lines) {
    const item = /^\s*(?:[-*+]|\d+[.)])\s+(.*)/.exec(line);
    if (item) items.push(item[1] ?? "");
    else items.push(`${items.pop() ?? ""} ${line.trim()}`);
  }
  return made(/^\s*\d/.test(lines[0] ?? "") ? "ol" : "ul", items.map((item) => made("li", inline(item))));
}

function table(lines: string[]): HTMLElement {
  const cells = (line: string) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const row = (line: string, name: string) => made("tr", cells(line).map((cell) => made(name, inline(cell))));
  const body = lines.slice(2).map((line) => row(line, "td"));
  const element = made("div", [made("table", [made("thead", [row(lines[0] ?? "", "th")]), made("tbody", body)])]);
  element.className = "scroll";
  element.tabIndex = 0;
  return element;
}

function inline(text: string): (Node | string)[] {
  const found = INLINE.exec(text);
  if (!found) return text ? [text] : [];
  const [whole, literal, strong, soft, label, address, bare] = found;
  const after = text.slice(found.index + whole.length);
  let node: Node;
  if (literal) node = made("code", [literal.slice(1, -1)]);
  else if (strong) node = made("strong", inline(strong));
  else if (soft) node = made("em", inline(soft));
  else node = link(address ?? bare ?? "", label ?? bare ?? "");
  return [text.slice(0, found.index), node, ...inline(after)].filter((part) => part !== "");
}

function link(address: string, label: string): HTMLElement {
  const element = made("a", [label]) as HTMLAnchorElement;
  Object.assign(element, { href: address, target: "_blank", rel: "noopener noreferrer nofollow" });
  return element;
}

export function made(name: string, inside: (Node | string)[], attributes: Record<string, string> = {}): HTMLElement {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...inside);
  return element;
}
