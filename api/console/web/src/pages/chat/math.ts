/** Mathematics in answers: `$…$` and `\(…\)` in a line, `$$…$$` and `\[…\]` on lines of their own. What draws it is loaded with the
 * first formula; until then, and where a formula is none, it stands there as it was written. */

import type { TokenizerAndRendererExtension, Tokens } from "marked";

const IN_LINE = /^(?:\$\$([^\n]+?)\$\$|\$(?!\s)((?:\\.|[^\\$\n])+?)(?<!\s)\$(?!\d)|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\])/;
const ALONE = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])(?:\n|$)/;

const escaped = (text: string) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const shown = ({ raw, text, display }: Tokens.Generic) =>
  `<span data-math="${escaped(text)}"${display ? " data-display" : ""}>${escaped(raw.trim())}</span>`;

const inLine: TokenizerAndRendererExtension = {
  name: "math",
  level: "inline",
  start: (src) => /\$|\\[([]/.exec(src)?.index,
  tokenizer(src) {
    const found = IN_LINE.exec(src);
    if (!found) return undefined;
    const display = found[1] ?? found[4];
    return { type: "math", raw: found[0], text: display ?? found[2] ?? found[3], display: display !== undefined };
  },
  renderer: shown,
};

const alone: TokenizerAndRendererExtension = {
  name: "formula",
  level: "block",
  start: (src) => /\n(?:\$\$|\\\[)/.exec(src)?.index,
  tokenizer(src) {
    const found = ALONE.exec(src);
    return found ? { type: "formula", raw: found[0], text: found[1] ?? found[2], display: true } : undefined;
  },
  renderer: (token) => `<p>${shown(token)}</p>`,
};

export const MATH = [alone, inLine];

let draw: ((formula: HTMLElement) => void) | null = null;

/** Draws the formulas of a part of an answer. */
export function drawMath(root: Element): void {
  const formulas = () => root.querySelectorAll<HTMLElement>("[data-math]");
  if (!formulas().length) return;
  if (draw) return formulas().forEach(draw);
  import("./math-drawing").then((drawing) => {
    draw = drawing.draw;
    formulas().forEach(draw);
  }, () => undefined);
}
