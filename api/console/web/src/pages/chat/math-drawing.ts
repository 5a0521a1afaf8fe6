/** Draws formulas as MathML, which browsers lay out and screen readers read. Loaded with the first formula. */

import "temml/dist/Temml-Local.css";
import temml from "temml";

const MOST_MACROS = 200;
const LONGEST = 5_000;

export function draw(formula: HTMLElement): void {
  const text = formula.dataset.math ?? "";
  if (text.length > LONGEST) return;
  const drawn = document.createElement("span");
  try {
    temml.render(text, drawn, { displayMode: formula.dataset.display !== undefined, throwOnError: true, maxExpand: MOST_MACROS });
  } catch {
    return; // no formula: it is read as it was written
  }
  formula.replaceChildren(...drawn.childNodes);
  formula.classList.add(formula.dataset.display !== undefined ? "formula" : "math");
  delete formula.dataset.math;
}
