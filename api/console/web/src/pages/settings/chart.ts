/** Lines over time, drawn by uPlot, in the colours of the theme. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

type Line = { label: string; values: number[] };
const DASHES = [[], [6, 4]];
const HEIGHT_PX = 240;

/** Draws into an element and follows its width; returns how to stop. */
export function draw(root: HTMLElement, times: number[], lines: Line[]): () => void {
  const style = getComputedStyle(root);
  const colour = (name: string) => {
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    root.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const [ink, line, strokes] = [colour("--soft"), colour("--line"), [colour("--accent"), colour("--warm")]];
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: `12px ${style.fontFamily}` };
  const series = lines.map(({ label }, place) => ({ label, stroke: strokes[place % 2], dash: DASHES[place % 2], width: 2 }));
  const width = () => Math.max(200, root.clientWidth);
  const plot = new uPlot(
    { width: width(), height: HEIGHT_PX, series: [{}, ...series], axes: [axis, { ...axis, size: 70 }] },
    [times, ...lines.map(({ values }) => values)],
    root,
  );
  const watch = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT_PX }));
  watch.observe(root);
  return () => {
    watch.disconnect();
    plot.destroy();
  };
}
