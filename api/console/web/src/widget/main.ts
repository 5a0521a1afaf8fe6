/** `<script src="…/console/widget.js" data-key="hrw_…" async></script>`: a chat in somebody's page. One file, which asks the
 * server nothing before somebody opens the chat. Also `data-lang`, `data-theme`, `data-color` (#rrggbb), `data-position="left"`. */

import { Client } from "./client";
import { STYLE } from "./style";
import { made } from "./text";
import { View } from "./view";
import { wordsFor } from "./words";

function start(script: HTMLScriptElement): void {
  const { key = "", lang, theme, color, position } = script.dataset;
  const root = new URL("../api/embed/", new URL(".", script.src)).href;
  const language = lang || document.documentElement.lang || navigator.language;
  const host = made("div", [], { lang: language.toLowerCase().startsWith("vi") ? "vi" : "en", ...(theme ? { "data-theme": theme } : {}) });
  const shadow = host.attachShadow({ mode: "open" });
  const style = new CSSStyleSheet(); // which a page's policy for styles doesn't forbid
  style.replaceSync(STYLE);
  shadow.adoptedStyleSheets = [style];
  if (color && /^#[0-9a-f]{6}$/i.test(color)) {
    host.style.setProperty("--accent", color);
    host.style.setProperty("--on-accent", isLight(color) ? "#000" : "#fff");
  }
  shadow.append(new View(new Client(root, key), wordsFor(language), key, position === "left").root);
  document.body.append(host);
}

/** Whether black is easier to read on a colour than white (WCAG's relative luminance). */
function isLight(color: string): boolean {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = parseInt(color.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179;
}

const script = document.currentScript;
if (script instanceof HTMLScriptElement && script.dataset.key) {
  if (document.body) start(script);
  else document.addEventListener("DOMContentLoaded", () => start(script));
}
