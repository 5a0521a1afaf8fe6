/** Triggers: jobs that others start by calling an address, and what became of their calls. */

import { useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { FormDialog, json, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { words } from "../../words";
import { NewKey } from "./keys";

type Trigger = Schemas["TriggerOut"];
const EXAMPLE = { kind: "chat", message: "What is to be done about this?\n\n{{$}}" };

export default function TriggersPage() {
  const w = words.value.triggers;
  const pages = usePages((cursor) => need(api.GET("/api/triggers", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState("");
  const [calls, setCalls] = useState<Trigger | null>(null);
  const path = (one: Trigger) => ({ params: { path: { trigger_id: one.id } } });
  const make = async (values: Values) => {
    const body = { name: values.name, job: json("job", values.job ?? ""), auth: values.auth, calls_per_minute: Number(values.calls_per_minute) };
    setSecret((await need(api.POST("/api/triggers", { body: body as unknown as Schemas["TriggerIn"] }))).secret);
    pages.reload();
  };
  const toggle = async (one: Trigger) => {
    const body = { name: one.name, job: one.job, auth: one.auth, calls_per_minute: one.calls_per_minute, enabled: !one.enabled };
    await need(api.PUT("/api/triggers/{trigger_id}", { ...path(one), body: body as unknown as Schemas["TriggerIn"] }));
    pages.reload();
  };
  const remove = async (one: Trigger) => {
    if (!(await confirmed(words.value.confirmRemove(one.name), words.value.remove))) return;
    await need(api.DELETE("/api/triggers/{trigger_id}", path(one)));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button></PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.address, w.auth, words.value.jobs.state, ""]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide"><strong>{one.name}</strong><br /><span class="soft">{words.value.jobKinds[one.kind] ?? one.kind}</span></td>
            <td class="wide mono">{one.url}</td>
            <td>{w.auths[one.auth] ?? one.auth}</td>
            <td><Badge state={one.enabled ? "ok" : ""} label={one.enabled ? words.value.agents.on : words.value.agents.off} /></td>
            <td>
              <button type="button" class="link" aria-label={`${w.calls}: ${one.name}`} onClick={() => setCalls(one)}>{w.calls}</button>{" "}
              <button type="button" class="link" aria-label={`${one.enabled ? words.value.webhooks.switchOff : words.value.webhooks.switchOn}: ${one.name}`} onClick={() => toggle(one).catch(failed)}>
                {one.enabled ? words.value.webhooks.switchOff : words.value.webhooks.switchOn}
              </button>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${one.name}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {making && (
        <FormDialog wide title={w.make} button={words.value.create} onClose={() => setMaking(false)} onSend={make}
          values={{ auth: "secret", calls_per_minute: "60", job: JSON.stringify(EXAMPLE, null, 2) }}
          fields={[
            { name: "name", label: words.value.name, required: true },
            { name: "job", label: w.job, kind: "json", rows: 7, required: true, hint: w.jobHint },
            { name: "auth", label: w.auth, kind: "choice", options: Object.entries(w.auths) },
            { name: "calls_per_minute", label: w.rate, kind: "number", required: true },
          ]} />
      )}
      {secret && <NewKey secret={secret} onClose={() => setSecret("")} />}
      {calls && <Calls trigger={calls} onClose={() => setCalls(null)} />}
    </div>
  );
}

function Calls({ trigger, onClose }: { trigger: Trigger; onClose: () => void }) {
  const w = words.value.triggers;
  const pages = usePages(() => need(api.GET("/api/triggers/{trigger_id}/calls", { params: { path: { trigger_id: trigger.id } } })).then((page) => ({ items: page.items, next_cursor: null })), [trigger.id]);
  return (
    <Dialog wide title={`${w.calls}: ${trigger.name}`} onClose={onClose}>
      <List pages={pages} empty={w.noCalls} heads={[words.value.audit.at, words.value.audit.result, words.value.jobs.job]}
        row={(one) => (
          <tr key={one.at + one.code}>
            <td><Ago at={one.at} /></td>
            <td class="wide">{one.status} {one.code}{one.detail && <span class="soft"> · {one.detail}</span>}</td>
            <td>{one.job_id ? <a href={to(`jobs/${one.job_id}`)} onClick={onClose}>{words.value.jobs.job}</a> : "–"}</td>
          </tr>
        )} />
    </Dialog>
  );
}
