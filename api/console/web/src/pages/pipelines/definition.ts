/** A pipeline's definition, as the API has it, and the graph that it is: what leads where. */

export type StepKind = "agent" | "tool" | "prompt" | "router" | "parallel";
export type Step = { kind: StepKind; next?: string | null } & Record<string, any>;
export type Definition = { name: string; description?: string; start: string; steps: Record<string, Step> };
export type Node = { id: string; kind: string; label: string };
export type Edge = { from: string; to: string; label: string };
export type Graph = { nodes: Node[]; edges: Edge[] };

export const KINDS: StepKind[] = ["prompt", "agent", "tool", "router", "parallel"];
const START = "__start__";
const END = "__end__";

export const NEW: Definition = {
  name: "explain",
  description: "",
  start: "classify",
  steps: {
    classify: { kind: "prompt", prompt: "Is this a question? Answer yes or no.\n\n{{input}}", next: "route" },
    route: { kind: "router", by: "{{steps.classify}}", cases: { yes: "answer" }, otherwise: "greet" },
    answer: { kind: "prompt", prompt: "Answer in three sentences: {{input}}" },
    greet: { kind: "prompt", prompt: "Say something friendly to: {{input}}" },
  },
};

/** A step of a kind that is complete enough to be drawn. */
export function newStep(kind: StepKind, otherwise: string): Step {
  if (kind === "prompt") return { kind, prompt: "{{input}}" };
  if (kind === "agent") return { kind, agent: "auto", input: "{{input}}" };
  if (kind === "tool") return { kind, tool: "", arguments: {} };
  if (kind === "router") return { kind, by: "{{input}}", cases: {}, otherwise };
  return { kind, branches: {} };
}

/** The graph of a definition, also of one that is not finished: what leads to no step is left out. */
export function graphOf({ start, steps }: Definition): Graph {
  const nodes: Node[] = [{ id: START, kind: "start", label: "" }];
  const edges: Edge[] = [];
  const link = (from: string, to: string, label = "") => void ((to === END || steps[to]) && edges.push({ from, to, label }));
  const inside = new Map<string, string>();
  link(START, start);
  for (const [name, step] of Object.entries(steps)) {
    nodes.push({ id: name, kind: step.kind, label: name });
    if (step.kind !== "parallel") continue;
    const join = `${name}.join`;
    nodes.push({ id: join, kind: "join", label: "" });
    for (const [label, branch] of Object.entries((step.branches ?? {}) as Record<string, string[]>)) {
      const places = [name, ...branch.filter((one) => steps[one]), join];
      for (const one of places.slice(1, -1)) inside.set(one, name);
      places.slice(1).forEach((to, place) => edges.push({ from: places[place], to, label: place ? "" : label }));
    }
    link(join, step.next || END);
  }
  for (const [name, step] of Object.entries(steps)) {
    if (step.kind === "router") {
      for (const [label, to] of Object.entries((step.cases ?? {}) as Record<string, string>)) link(name, to, label);
      link(name, step.otherwise, "…");
    } else if (step.kind !== "parallel" && !inside.has(name)) link(name, step.next || END);
  }
  nodes.push({ id: END, kind: "end", label: "" });
  return { nodes, edges };
}
