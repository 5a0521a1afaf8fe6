/** The tenant's own agents: made, changed, tried. */

import { useRef, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { Badge, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, type FormField, lines, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { may } from "../../session";
import { remember } from "../../storage";
import { words } from "../../words";

type Agent = Schemas["AgentOut"];
const GRAPHS: Agent["graph"][] = ["auto", "chat", "react", "plan_execute", "supervisor"];

export default function AgentsPage() {
  const w = words.value.agents;
  const pages = usePages((cursor) => need(api.GET("/api/admin/agents", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [open, setOpen] = useState<Agent | "new" | null>(null);
  const remove = async (agent: Agent) => {
    if (!(await confirmed(words.value.confirmRemove(agent.name), words.value.remove))) return;
    await need(api.DELETE("/api/admin/agents/{name}", { params: { path: { name: agent.name } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {may("agents.manage") && <button type="button" class="button primary" onClick={() => setOpen("new")}>{w.make}</button>}
      </PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.tools, words.value.jobs.state, ""]}
        row={(agent) => (
          <tr key={agent.name}>
            <td class="wide"><strong>{agent.name}</strong><br /><span class="soft">{agent.description}</span></td>
            <td class="wide">{agent.tools.join(", ") || "–"}</td>
            <td><Badge state={agent.enabled ? "ok" : ""} label={agent.enabled ? w.on : w.off} /></td>
            <td>
              <a class="link" aria-label={`${w.ask}: ${agent.name}`} href={to("chat")} onClick={() => choose(agent.name)}>{w.ask}</a>{" "}
              <button type="button" class="link" aria-label={`${w.change}: ${agent.name}`} onClick={() => setOpen(agent)}>{w.change}</button>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${agent.name}`} onClick={() => remove(agent).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {open && <AgentForm agent={open === "new" ? null : open} onClose={() => setOpen(null)} onSaved={pages.reload} />}
    </div>
  );
}

function choose(agent: string): void {
  remember("choice", JSON.stringify({ agent, model: "", collections: [] }));
}

/** Saves what was changed here, and nothing else. If somebody else saved meanwhile, says what, once. */
async function change(agent: Agent, body: Partial<Agent>, seen: { current: Agent }, fields: FormField[]): Promise<void> {
  const path = { params: { path: { name: agent.name } } };
  const differ = (one: Partial<Agent>, other: Partial<Agent>) =>
    (Object.keys(body) as (keyof Agent)[]).filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
  const now = (await need(api.GET("/api/admin/agents/{name}", path))) as Agent;
  const theirs = differ(now, seen.current);
  if (now.updated_at !== seen.current.updated_at && theirs.length) {
    seen.current = now;
    const names = theirs.map((name) => fields.find((field) => field.name === name)?.label ?? name);
    throw new Error(words.value.agents.changedMeanwhile(names.join(", ")));
  }
  const mine = Object.fromEntries(differ(body, agent).map((name) => [name, body[name]])) as Schemas["AgentChangeIn"];
  if (Object.keys(mine).length) await need(api.PATCH("/api/admin/agents/{name}", { ...path, body: mine }));
}

function AgentForm({ agent, onClose, onSaved }: { agent: Agent | null; onClose: () => void; onSaved: () => void }) {
  const w = words.value.agents;
  const seen = useRef(agent as Agent);
  const fields: FormField[] = [
    ...(agent ? [] : [{ name: "name", label: words.value.name, required: true, hint: w.nameHint }]),
    { name: "description", label: w.description, kind: "area", rows: 2, required: true, hint: w.descriptionHint },
    { name: "examples", label: w.examples, kind: "area", rows: 3, hint: w.linesHint },
    { name: "prompt", label: w.prompt, kind: "area", rows: 6, hint: w.promptHint },
    { name: "tools", label: w.tools, kind: "area", rows: 3, hint: w.linesHint },
    { name: "models", label: w.models, kind: "area", rows: 2, hint: w.modelsHint },
    { name: "graph", label: w.graph, kind: "choice", options: GRAPHS.map((graph) => [graph, graph]) },
    { name: "enabled", label: words.value.jobs.state, kind: "choice", options: [["true", w.on], ["false", w.off]] },
  ];
  const save = async (values: Values) => {
    const body = {
      description: values.description ?? "", prompt: values.prompt ?? "", graph: values.graph as Agent["graph"],
      examples: lines(values.examples), tools: lines(values.tools), models: lines(values.models), enabled: values.enabled === "true",
    };
    if (agent) await change(agent, body, seen, fields);
    else await need(api.POST("/api/admin/agents", { body: { ...body, name: values.name ?? "" } as Schemas["AgentIn"] }));
    onSaved();
  };
  const values: Values = agent
    ? { ...agent, examples: agent.examples.join("\n"), tools: agent.tools.join("\n"), models: agent.models.join("\n"), enabled: String(agent.enabled) } as unknown as Values
    : { graph: "auto", enabled: "true" };
  return <FormDialog wide title={agent ? agent.name : w.make} button={agent ? words.value.save : words.value.create} fields={fields} values={values} onClose={onClose} onSend={save} />;
}
