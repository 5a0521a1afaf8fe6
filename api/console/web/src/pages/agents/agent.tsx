/** One agent: its settings, with a pane beside them in which it is tried; who may call it; what it was before. */

import { useRoute } from "preact-iso";
import { useRef, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need } from "../../api";
import { ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { FormPanel, type Values } from "../../parts/form";
import { useLoad } from "../../parts/load";
import { told } from "../../parts/toasts";
import { words } from "../../words";
import { type Agent, bodyOf, change, fieldsOf, readTools, valuesOf } from "./form";
import { Grants } from "./grants";
import { choose } from "./page";
import { TryPane } from "./try-pane";
import { Versions } from "./versions";

export default function AgentPage() {
  const w = words.value.agentPage;
  const name = useRoute().params.agent ?? "";
  const agent = useLoad(() => need(api.GET("/api/admin/agents/{name}", { params: { path: { name } } })) as Promise<Agent>, [name]);
  const tools = useLoad(readTools, []);
  const [round, setRound] = useState(0);
  const again = () => {
    agent.reload();
    setRound((n) => n + 1);
  };
  const error = agent.error ?? tools.error;
  return (
    <div class="page">
      <p><a href={to("agents")}>{w.back}</a></p>
      <PageTitle text={name}><a class="button" href={to("chat")} onClick={() => choose(name)}>{words.value.agents.ask}</a></PageTitle>
      {error !== undefined && <ErrorNote error={error} retry={() => { again(); tools.reload(); }} />}
      {(!agent.data || !tools.data) && error === undefined && <Loading />}
      {agent.data && tools.data && (
        <>
          <div class="beside">
            <Settings key={`${name} ${agent.data.updated_at}`} agent={agent.data} tools={tools.data} onSaved={again} />
            <TryPane name={name} />
          </div>
          <Grants agent={name} />
          <Versions key={round} agent={agent.data} onRestored={again} />
        </>
      )}
    </div>
  );
}

function Settings({ agent, tools, onSaved }: { agent: Agent; tools: string[]; onSaved: () => void }) {
  const seen = useRef(agent);
  const save = async (values: Values) => {
    await change(agent, bodyOf(values), seen);
    told(words.value.saved);
    onSaved();
  };
  return <FormPanel fields={fieldsOf(tools, false)} values={valuesOf(agent)} button={words.value.save} onSend={save} />;
}
