/** A chart in an answer: labels, and series of numbers, as the output format `chart_data` has them. */

export type ChartData = {
  type: "bar" | "line" | "area" | "scatter" | "pie";
  title?: string;
  labels: (string | number)[];
  series: { name?: string; values: number[] }[];
};

const KINDS = ["bar", "line", "area", "scatter", "pie"];

/** The value as a chart, or null if it is none. */
export function chartIn(value: unknown): ChartData | null {
  const found = value as ChartData | null;
  if (typeof found !== "object" || found === null || !KINDS.includes(found.type) || !Array.isArray(found.labels)) return null;
  if (!Array.isArray(found.series) || !found.series.length) return null;
  return found.series.every((one) => Array.isArray(one?.values) && one.values.every((number) => typeof number === "number")) ? found : null;
}

/** The JSON that a text is, without the fence that a model may have put around it; undefined if it is none. */
export function jsonIn(text: string): unknown {
  const inner = /^\s*```(?:json)?\s*\n([\s\S]*?)```\s*$/.exec(text)?.[1] ?? text;
  if (!/^\s*[[{]/.test(inner)) return undefined;
  try {
    return JSON.parse(inner);
  } catch {
    return undefined;
  }
}
