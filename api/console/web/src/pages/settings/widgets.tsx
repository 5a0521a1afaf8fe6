/** Chat widgets: made, put into a page, changed, removed; and what their visitors asked. */

import { useState } from "preact/hooks";
import { ORIGIN, to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { Ago, PageTitle } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { FormDialog, type FormField, lines, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { words } from "../../words";

type Widget = Schemas["WidgetOut"];
type Shown = { widget: Widget; what: "change" | "snippet" | "talks" };

export default function WidgetsPage() {
  const w = words.value.widgets;
  const pages = usePages((cursor) => need(api.GET("/api/widgets", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  const [shown, setShown] = useState<Shown | null>(null);
  const close = () => setShown(null);
  const remove = async (widget: Widget) => {
    if (!(await confirmed(w.removeSure(widget.name), words.value.remove))) return;
    await need(api.DELETE("/api/widgets/{widget_id}", { params: { path: { widget_id: widget.id } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button></PageTitle>
      <p class="hint">{w.hint}</p>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.agent, w.origins, w.used, ""]}
        row={(widget) => (
          <tr key={widget.id}>
            <td class="wide"><strong>{widget.name}</strong></td>
            <td class="wide">{widget.agent}</td>
            <td class="wide">{widget.origins.join(", ")}</td>
            <td>{widget.last_used_at ? <Ago at={widget.last_used_at} /> : w.never}</td>
            <td>
              {(["snippet", "talks", "change"] as const).map((what) => (
                <span key={what}><button type="button" class="link" aria-label={`${w[what]}: ${widget.name}`} onClick={() => setShown({ widget, what })}>{w[what]}</button>{" "}</span>
              ))}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${widget.name}`} onClick={() => remove(widget).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {making && <WidgetForm onClose={() => setMaking(false)} onSaved={(widget) => { pages.reload(); setShown({ widget, what: "snippet" }); }} />}
      {shown?.what === "change" && <WidgetForm widget={shown.widget} onClose={close} onSaved={pages.reload} />}
      {shown?.what === "snippet" && <Snippet widget={shown.widget} onClose={close} />}
      {shown?.what === "talks" && <Talks widget={shown.widget} onClose={close} />}
    </div>
  );
}

type FormProps = { widget?: Widget; onClose: () => void; onSaved: (widget: Widget) => void };

function WidgetForm({ widget, onClose, onSaved }: FormProps) {
  const w = words.value.widgets;
  const { data } = useLoad(() => need(api.GET("/api/agents")), []);
  if (!data) return null;
  const names = [...new Set([...(widget ? [widget.agent] : []), ...data.items.map((agent) => agent.name)])];
  if (!names.length) return <Dialog title={w.make} onClose={onClose}><p>{w.noAgents}</p><p><a href={to("agents")}>{words.value.nav.agents}</a></p></Dialog>;
  const fields: FormField[] = [
    { name: "name", label: words.value.name, required: true },
    { name: "agent", label: w.agent, kind: "choice", options: names.map((name) => [name, name]), hint: w.agentHint },
    { name: "origins", label: w.origins, kind: "area", rows: 2, required: true, hint: w.originsHint },
    { name: "title", label: w.heading },
    { name: "greeting", label: w.greeting, kind: "area", rows: 2, hint: w.greetingHint },
    { name: "messages_per_minute", label: w.rate, kind: "number", required: true, hint: w.rateHint },
    { name: "budget_day_usd", label: w.day, hint: w.dayHint },
  ];
  const save = async (values: Values) => {
    const body = {
      name: values.name ?? "", agent: values.agent ?? "", origins: lines(values.origins), title: values.title ?? "", greeting: values.greeting ?? "",
      messages_per_minute: Number(values.messages_per_minute), budget_day_usd: values.budget_day_usd ? Number(values.budget_day_usd) : null,
    };
    const sent = widget
      ? api.PATCH("/api/widgets/{widget_id}", { params: { path: { widget_id: widget.id } }, body: body as Schemas["WidgetChangeIn"] })
      : api.POST("/api/widgets", { body: body as Schemas["WidgetIn"] });
    const saved = await need<Widget>(sent);
    queueMicrotask(() => onSaved(saved as Widget)); // after this dialog has closed
  };
  const values: Values = widget
    ? { ...widget, origins: widget.origins.join("\n"), messages_per_minute: String(widget.messages_per_minute), budget_day_usd: widget.budget_day_usd == null ? "" : String(widget.budget_day_usd) } as unknown as Values
    : { agent: names[0] ?? "", messages_per_minute: "30", budget_day_usd: "5" };
  return <FormDialog wide title={widget ? widget.name : w.make} button={widget ? words.value.save : words.value.create} fields={fields} values={values} onClose={onClose} onSend={save} />;
}

function Snippet({ widget, onClose }: { widget: Widget; onClose: () => void }) {
  const w = words.value.widgets;
  const code = `<script src="${ORIGIN}/console/widget.js" data-key="${widget.key}" async></script>`;
  const copy = () => navigator.clipboard.writeText(code).then(() => told(words.value.copied), failed);
  return (
    <Dialog wide title={`${w.snippet}: ${widget.name}`} onClose={onClose}>
      <p>{w.snippetHint}</p>
      <p class="secret mono">{code}</p>
      <p class="hint">{w.options}</p>
      <div class="dialog-actions"><button type="button" class="button primary" onClick={copy}>{words.value.copy}</button></div>
    </Dialog>
  );
}

function Talks({ widget, onClose }: { widget: Widget; onClose: () => void }) {
  const w = words.value.widgets;
  const pages = usePages((cursor) => need(api.GET("/api/sessions", { params: { query: { widget: widget.id, ...(cursor ? { cursor } : {}) } } })), [widget.id]);
  return (
    <Dialog wide title={`${w.talks}: ${widget.name}`} onClose={onClose}>
      <List pages={pages} empty={w.noTalks} heads={[words.value.nav.chat, w.used]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide"><a href={to(`chat/${one.id}`)} onClick={onClose}>{one.title || words.value.chat.untitled}</a></td>
            <td><Ago at={one.updated_at} /></td>
          </tr>
        )} />
    </Dialog>
  );
}
