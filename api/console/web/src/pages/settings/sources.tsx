/** Data sources: databases that tools of the kind SQL may read, and whether they answer. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { duration } from "../../format";
import { PageTitle } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { FormDialog, lines, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { words } from "../../words";

type Source = Schemas["DataSourceOut"];
type Tested = { source: Source; result: Schemas["SourceTestOut"] };

export default function SourcesPage() {
  const w = words.value.sources;
  const pages = usePages((cursor) => need(api.GET("/api/admin/data-sources", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [open, setOpen] = useState<Source | "new" | null>(null);
  const [tested, setTested] = useState<Tested | null>(null);
  const path = (one: Source) => ({ params: { path: { name: one.name } } });
  const test = async (source: Source) => setTested({ source, result: await need(api.POST("/api/admin/data-sources/{name}/test", path(source))) });
  const remove = async (one: Source) => {
    if (!(await confirmed(words.value.confirmRemove(one.name), words.value.remove))) return;
    await need(api.DELETE("/api/admin/data-sources/{name}", path(one)));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setOpen("new")}>{w.make}</button></PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.tables, w.rows, ""]}
        row={(one) => (
          <tr key={one.name}>
            <td class="wide"><strong>{one.name}</strong><br /><span class="soft">{one.description}</span></td>
            <td class="wide">{one.tables.join(", ")}</td>
            <td class="number">{one.max_rows}</td>
            <td>
              <button type="button" class="link" aria-label={`${w.test}: ${one.name}`} onClick={() => test(one).catch(failed)}>{w.test}</button>{" "}
              <button type="button" class="link" aria-label={`${words.value.agents.change}: ${one.name}`} onClick={() => setOpen(one)}>{words.value.agents.change}</button>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${one.name}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {open && <SourceForm source={open === "new" ? null : open} onClose={() => setOpen(null)} onSaved={pages.reload} />}
      {tested && (
        <Dialog title={`${w.test}: ${tested.source.name}`} onClose={() => setTested(null)}>
          <p class={tested.result.ok ? "" : "field-error"}>{tested.result.message}</p>
          <p class="soft">{tested.result.code} · {duration(tested.result.latency_ms)}</p>
        </Dialog>
      )}
    </div>
  );
}

function SourceForm({ source, onClose, onSaved }: { source: Source | null; onClose: () => void; onSaved: () => void }) {
  const w = words.value.sources;
  const save = async (values: Values) => {
    const body = {
      description: values.description ?? "", tables: lines(values.tables), max_rows: Number(values.max_rows), timeout_s: Number(values.timeout_s),
      ...(values.dsn ? { dsn: values.dsn } : {}),
    };
    if (source) await need(api.PATCH("/api/admin/data-sources/{name}", { params: { path: { name: source.name } }, body }));
    else await need(api.POST("/api/admin/data-sources", { body: { ...body, name: values.name } as Schemas["DataSourceIn"] }));
    onSaved();
  };
  return (
    <FormDialog title={source?.name ?? w.make} button={source ? words.value.save : words.value.create} onClose={onClose} onSend={save}
      values={source ? { description: source.description, tables: source.tables.join("\n"), max_rows: String(source.max_rows), timeout_s: String(source.timeout_s) } : { max_rows: "200", timeout_s: "10" }}
      fields={[
        ...(source ? [] : [{ name: "name", label: words.value.name, required: true }]),
        { name: "dsn", label: w.dsn, kind: "password", required: !source, hint: source ? w.dsnKept : w.dsnHint },
        { name: "tables", label: w.tables, kind: "area", required: true, hint: words.value.agents.linesHint },
        { name: "description", label: w.description },
        { name: "max_rows", label: w.rows, kind: "number" },
        { name: "timeout_s", label: w.timeout, kind: "number" },
      ]} />
  );
}
