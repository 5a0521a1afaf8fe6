/** The fields of an agent, and how a change of them is saved. */

import { api, need, type Schemas } from "../../api";
import { type FormField, lines, type Values } from "../../parts/form";
import { words } from "../../words";

export type Agent = Schemas["AgentOut"];
export type Fields = Partial<Omit<Agent, "name" | "created_at" | "updated_at" | "created_by">>;
const GRAPHS: Agent["graph"][] = ["auto", "chat", "react", "plan_execute", "supervisor"];

export function fieldsOf(tools: string[], isNew: boolean): FormField[] {
  const w = words.value.agents;
  return [
    ...(isNew ? [{ name: "name", label: words.value.name, required: true, hint: w.nameHint }] : []),
    { name: "description", label: w.description, kind: "area", rows: 2, required: true, hint: w.descriptionHint },
    { name: "examples", label: w.examples, kind: "area", rows: 3, hint: w.linesHint },
    { name: "prompt", label: w.prompt, kind: "area", rows: 6, hint: w.promptHint },
    { name: "tools", label: w.tools, kind: "many", options: tools.map((name) => [name, name]), hint: tools.length ? words.value.agentPage.toolsHint : words.value.agentPage.noTools },
    { name: "models", label: w.models, kind: "area", rows: 2, hint: w.modelsHint },
    { name: "graph", label: w.graph, kind: "choice", options: GRAPHS.map((graph) => [graph, graph]) },
    { name: "enabled", label: words.value.jobs.state, kind: "choice", options: [["true", w.on], ["false", w.off]] },
  ];
}

export function valuesOf(agent: Agent | null): Values {
  if (!agent) return { graph: "auto", enabled: "true" };
  const { description, prompt, graph } = agent;
  const joined = { examples: agent.examples.join("\n"), tools: agent.tools.join("\n"), models: agent.models.join("\n") };
  return { description, prompt, graph, ...joined, enabled: String(agent.enabled) };
}

export function bodyOf(values: Values): Fields {
  return {
    description: values.description ?? "", prompt: values.prompt ?? "", graph: values.graph as Agent["graph"],
    examples: lines(values.examples), tools: lines(values.tools), models: lines(values.models), enabled: values.enabled === "true",
  };
}

/** The names of the fields in which two differ, of those that the first has. */
export function differing(one: Fields, other: Fields): (keyof Fields)[] {
  return (Object.keys(one) as (keyof Fields)[]).filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}

/** Saves what was changed here, and nothing else. If somebody else saved meanwhile, says what, once. Returns the agent as it is then. */
export async function change(agent: Agent, body: Fields, seen: { current: Agent }): Promise<Agent> {
  const path = { params: { path: { name: agent.name } } };
  const now = (await need(api.GET("/api/admin/agents/{name}", path))) as Agent;
  const kept = Object.fromEntries(Object.keys(body).map((name) => [name, now[name as keyof Fields]])) as Fields;
  const theirs = differing(kept, seen.current);
  if (now.updated_at !== seen.current.updated_at && theirs.length) {
    seen.current = now;
    throw new Error(words.value.agents.changedMeanwhile(theirs.map((name) => words.value.agentPage.fields[name] ?? name).join(", ")));
  }
  const mine = Object.fromEntries(differing(body, agent).map((name) => [name, body[name]])) as Schemas["AgentChangeIn"];
  if (!Object.keys(mine).length) return now;
  return (await need(api.PATCH("/api/admin/agents/{name}", { ...path, body: mine }))) as Agent;
}

/** The names of the tools that an agent can be given. */
export async function readTools(): Promise<string[]> {
  const names: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await need(api.GET("/api/admin/tools", { params: { query: { limit: 100, ...(cursor ? { cursor } : {}) } } }));
    names.push(...page.items.map((tool) => tool.name));
    cursor = page.next_cursor;
  }
  return names;
}
