/** A pipeline drawn from top to bottom: each step below all that lead to it. Where it runs, what ran and what runs is marked. */

import { words } from "../../words";
import type { Edge, Graph, Node } from "./definition";

export type Marks = Record<string, "done" | "running" | "failed">;
type GraphProps = { graph: Graph; marks?: Marks; selected?: string; onSelect?: (id: string) => void };

const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [148, 46, 26, 46];

export function GraphView({ graph, marks = {}, selected, onSelect }: GraphProps) {
  const w = words.value.pipelines;
  const places = layOut(graph);
  const columns = Math.max(...[...places.values()].map(({ columns }) => columns));
  const rows = Math.max(...[...places.values()].map(({ row }) => row)) + 1;
  const width = columns * (WIDTH + GAP_X);
  const height = rows * (HEIGHT + GAP_Y) - GAP_Y + 8;
  const at = (id: string) => {
    const place = places.get(id) ?? { row: 0, column: 0, columns: 1 };
    return { x: (width / place.columns) * (place.column + 0.5), y: place.row * (HEIGHT + GAP_Y) + 4 };
  };
  return (
    <div class="graph" tabIndex={0} role="region" aria-label={w.graph}>
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={w.graph}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0l8 4-8 4z" class="arrow" /></marker>
        </defs>
        {graph.edges.map((edge, place) => <EdgeLine key={place} edge={edge} from={at(edge.from)} to={at(edge.to)} />)}
        {graph.nodes.map((node) => {
          const { x, y } = at(node.id);
          return <NodeBox key={node.id} node={node} x={x} y={y} mark={marks[node.id]} selected={node.id === selected} onSelect={onSelect} />;
        })}
      </svg>
    </div>
  );
}

type Point = { x: number; y: number };

function EdgeLine({ edge, from, to }: { edge: Edge; from: Point; to: Point }) {
  const [y1, y2] = [from.y + HEIGHT, to.y - 2];
  const middle = (y1 + y2) / 2;
  return (
    <g class="edge">
      <path d={`M${from.x} ${y1}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${y2}`} marker-end="url(#arrow)" />
      {edge.label && <text x={(from.x + to.x) / 2} y={middle + 4}>{edge.label.slice(0, 16)}</text>}
    </g>
  );
}

type NodeProps = Point & { node: Node; mark?: string; selected: boolean; onSelect?: (id: string) => void };

function NodeBox({ node, x, y, mark, selected, onSelect }: NodeProps) {
  const w = words.value.pipelines;
  const isStep = !["start", "end", "join"].includes(node.kind);
  const label = isStep ? node.label : w.ends[node.kind] ?? "";
  const kind = isStep ? w.kinds[node.kind] ?? node.kind : "";
  const select = isStep && onSelect ? () => onSelect(node.id) : undefined;
  const told = { done: "✓ ", running: "▶ ", failed: "✕ " }[mark ?? ""] ?? "";
  return (
    <g class={`node ${isStep ? "step" : "end"} ${mark ?? ""} ${selected ? "selected" : ""}`} transform={`translate(${x - WIDTH / 2} ${y})`}
      {...(select ? { role: "button", tabIndex: 0, "aria-pressed": selected, "aria-label": `${label}, ${kind}` } : {})}
      onClick={select}
      onKeyDown={select && ((event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        select();
      })}>
      <rect width={WIDTH} height={HEIGHT} rx={isStep ? 10 : HEIGHT / 2} />
      <text x={WIDTH / 2} y={kind ? 20 : 28}>{told}{label.slice(0, 18)}</text>
      {kind && <text x={WIDTH / 2} y={37} class="kind">{kind}</text>}
    </g>
  );
}

type Place = { row: number; column: number; columns: number };

/** The row of each node is the length of the longest way to it; ways that go back are not followed again. */
function layOut({ nodes, edges }: Graph): Map<string, Place> {
  const rows = new Map<string, number>(nodes.map((node) => [node.id, 0]));
  const visit = (id: string, row: number, above: Set<string>) => {
    if (above.has(id) || row > nodes.length) return;
    if (row < (rows.get(id) ?? 0)) return;
    rows.set(id, row);
    const below = new Set(above).add(id);
    for (const edge of edges) if (edge.from === id) visit(edge.to, row + 1, below);
  };
  visit(nodes[0].id, 0, new Set());
  const end = nodes[nodes.length - 1].id;
  const last = Math.max(...[...rows].filter(([id]) => id !== end).map(([, row]) => row)) + 1;
  rows.set(end, last);
  const found = new Map<string, Place>();
  for (let row = 0; row <= last; row++) {
    const here = nodes.filter((node) => rows.get(node.id) === row);
    here.forEach((node, column) => found.set(node.id, { row, column, columns: here.length }));
  }
  return found;
}
