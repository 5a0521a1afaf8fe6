/** The agents of the organisation: made here, looked after each on its own page. */

import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { Badge, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { remember } from "../../storage";
import { words } from "../../words";
import { type Agent, bodyOf, fieldsOf, readTools, valuesOf } from "./form";

export default function AgentsPage() {
  const w = words.value.agents;
  const pages = usePages((cursor) => need(api.GET("/api/admin/agents", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  const remove = async (agent: Agent) => {
    if (!(await confirmed(words.value.confirmRemove(agent.name), words.value.remove))) return;
    await need(api.DELETE("/api/admin/agents/{name}", { params: { path: { name: agent.name } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button></PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.tools, words.value.jobs.state, ""]}
        row={(agent) => (
          <tr key={agent.name}>
            <td class="wide"><a href={to(`agents/${agent.name}`)}><strong>{agent.name}</strong></a><br /><span class="soft">{agent.description}</span></td>
            <td class="wide">{agent.tools.join(", ") || "–"}</td>
            <td><Badge state={agent.enabled ? "ok" : ""} label={agent.enabled ? w.on : w.off} /></td>
            <td>
              <a class="link" aria-label={`${w.ask}: ${agent.name}`} href={to("chat")} onClick={() => choose(agent.name)}>{w.ask}</a>{" "}
              <a class="link" aria-label={`${w.change}: ${agent.name}`} href={to(`agents/${agent.name}`)}>{w.change}</a>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${agent.name}`} onClick={() => remove(agent).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {making && <NewAgent onClose={() => setMaking(false)} />}
    </div>
  );
}

/** Has this agent answer in the chat. */
export function choose(agent: string): void {
  remember("choice", JSON.stringify({ agent, model: "", collections: [] }));
}

function NewAgent({ onClose }: { onClose: () => void }) {
  const { route } = useLocation();
  const tools = useLoad(readTools, []);
  if (!tools.data) return null;
  const save = async (values: Values) => {
    const body = { ...bodyOf(values), name: values.name ?? "" } as Schemas["AgentIn"];
    const made = await need(api.POST("/api/admin/agents", { body }));
    route(to(`agents/${made.name}`));
  };
  return (
    <FormDialog wide title={words.value.agents.make} button={words.value.create} fields={fieldsOf(tools.data, true)} values={valuesOf(null)} onClose={onClose} onSend={save} />
  );
}
