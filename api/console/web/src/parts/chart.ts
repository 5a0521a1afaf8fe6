/** Charts, drawn by uPlot in the colours of the theme. Series differ by their dashes, and bars by their hatching, too. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { moment } from "../format";
import { language } from "../words/language";

export type Series = { label: string; values: (number | null)[] };
export type ChartOptions = {
  kind?: "line" | "area" | "bar" | "scatter";
  /** What stands under the places 0, 1, 2 … ; without them the places are times in seconds, or numbers. */
  names?: string[];
  times?: boolean;
};

const DAY_S = 86_400;
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]];
const HEIGHT_PX = 240;
const GROUP_WIDTH = 0.8;
const HATCH_PX = 7;

/** Draws into an element and follows its width; returns how to stop. */
export function draw(root: HTMLElement, at: number[], lines: Series[], options: ChartOptions = {}): () => void {
  const { kind = "line", names, times = false } = options;
  const colour = (name: string) => colourOf(root, name);
  const [ink, line, strokes] = [colour("--soft"), colour("--line"), [colour("--accent"), colour("--warm"), colour("--cool")]];
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line }, font: `12px ${getComputedStyle(root).fontFamily}` };
  const named = names && { splits: () => at, values: (_: uPlot, places: number[]) => places.map((place) => names[place] ?? "") };
  const timed = times && { values: (_: uPlot, places: number[], __: number, ___: number, step: number) => places.map((place) => timeOf(place, step)) };
  const series = lines.map(({ label }, place) => ({
    label,
    stroke: strokes[place % strokes.length],
    dash: DASHES[place % DASHES.length],
    width: 2,
    ...styleOf(kind, place, lines.length, strokes[place % strokes.length]),
  }));
  const width = () => Math.max(200, root.clientWidth);
  const edge = names ? 0.5 : 0;
  const plot = new uPlot(
    {
      width: width(),
      height: HEIGHT_PX,
      scales: { x: { time: times, ...(names ? { range: () => [-edge, at.length - 1 + edge] } : {}) }, y: kind === "bar" ? { range: fromZero } : {} },
      series: [names ? { value: (_: uPlot, place: number | null) => names[place ?? -1] ?? "–" } : times ? { value: (_: uPlot, at: number | null) => (at === null ? "–" : moment(new Date(1000 * at).toISOString())) } : {}, ...series],
      axes: [{ ...axis, ...named, ...timed }, { ...axis, size: 70 }],
    } as uPlot.Options,
    [at, ...lines.map(({ values }) => values)],
    root,
  );
  const watch = new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT_PX }));
  watch.observe(root);
  return () => {
    watch.disconnect();
    plot.destroy();
  };
}

/** A time as the reader's language writes it: of days their date, else the hour, with the date at midnight. */
function timeOf(seconds: number, step: number): string {
  const at = new Date(1000 * seconds);
  const date = () => at.toLocaleDateString(language.value, { day: "numeric", month: "short" });
  if (step >= DAY_S || (at.getHours() === 0 && at.getMinutes() === 0)) return date();
  return at.toLocaleTimeString(language.value, { hour: "2-digit", minute: "2-digit" });
}

function colourOf(root: HTMLElement, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  root.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function fromZero(_: uPlot, low: number, high: number): [number, number] {
  return [Math.min(0, low), Math.max(0, high) * 1.05 || 1];
}

function styleOf(kind: ChartOptions["kind"], place: number, of: number, stroke: string): Partial<uPlot.Series> {
  if (kind === "scatter") return { paths: () => null, points: { show: true, size: 7 + 2 * place, fill: place % 2 ? undefined : stroke } };
  if (kind === "area") return { fill: hatched(stroke, place) };
  if (kind !== "bar") return {};
  const size = GROUP_WIDTH / of;
  const each = (value: number) => (plot: uPlot) => plot.data[0].map(() => value);
  const offset = (plot: uPlot) => plot.data[0].map((at) => at - GROUP_WIDTH / 2 + size * place);
  const disp = { x0: { unit: 1, values: offset }, size: { unit: 1, values: each(size) } };
  return { dash: [], fill: hatched(stroke, place), points: { show: false }, paths: uPlot.paths.bars?.({ disp } as unknown as uPlot.Series.BarsPathBuilderOpts) };
}

/** A filling of lines that lean another way for each series. */
function hatched(stroke: string, place: number): () => CanvasPattern | string {
  return () => {
    const tile = document.createElement("canvas");
    tile.width = tile.height = HATCH_PX;
    const pen = tile.getContext("2d");
    if (!pen) return stroke;
    pen.strokeStyle = stroke;
    const [from, to] = [[[0, 7], [7, 0]], [[0, 0], [7, 7]], [[0, 3], [7, 3]], [[3, 0], [3, 7]]][place % 4] as [number, number][];
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    return pen.createPattern(tile, "repeat") ?? stroke;
  };
}
