/** Models as the installation knows them: what they cost and can do. Prices that an admin sets hold before those of the catalogue. */

import { useLocation } from "preact-iso";
import { useMemo, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { count, moment } from "../../format";
import { Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, lines, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { useLoad } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { language, words } from "../../words";

type Model = Schemas["StoredModelOut"];
const SHOWN = 100;
const PRICES = ["input_usd", "output_usd", "cached_input_usd"] as const;

/** All that is known, with what an admin has set before what came with headrace. */
async function read(): Promise<{ items: Model[]; set: Set<string> }> {
  const list = (origin: "set" | "all") => need(api.GET("/api/admin/models", { params: { query: { origin } } }));
  const [set, all] = await Promise.all([list("set"), list("all")]);
  const names = new Set(set.items.map((one) => one.name));
  return { items: [...set.items, ...all.items.filter((one) => !names.has(one.name))], set: names };
}

export default function ModelsPage() {
  const w = words.value.models;
  const { url, route } = useLocation();
  const search = new URLSearchParams(url.split("?")[1] ?? "").get("search") ?? "";
  const { data, error, reload } = useLoad(read, []);
  const [open, setOpen] = useState<Model | "new" | null>(null);
  const found = useMemo(() => data?.items.filter((one) => one.name.toLowerCase().includes(search.toLowerCase())), [data, search]);
  const reset = async (one: Model) => {
    if (!(await confirmed(w.resetSure(one.name), w.reset))) return;
    await need(api.DELETE("/api/admin/models/{name}", { params: { path: { name: one.name } } }));
    reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setOpen("new")}>{w.make}</button></PageTitle>
      <p class="hint">{w.hint}</p>
      <div class="filters">
        <input type="search" aria-label={words.value.search} placeholder={words.value.search} value={search}
          onInput={(event) => route(to("models", { search: event.currentTarget.value }), true)} />
        {found && <span class="soft">{count(found.length)}</span>}
      </div>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {found && (
        <List pages={{ items: found.slice(0, SHOWN), reload }} empty={w.empty} heads={[words.value.chat.model, w.input, w.output, w.context, w.from, ""]}
          row={(one) => (
            <tr key={one.name}>
              <td class="wide">{one.name}{one.deprecated && <> <Badge state="queued" label={w.deprecated} /></>}</td>
              <td class="number">{price(one.input_usd)}</td>
              <td class="number">{price(one.output_usd)}</td>
              <td class="number">{one.context_tokens ? count(one.context_tokens) : "–"}</td>
              <td title={moment(one.updated_at)}>{data?.set.has(one.name) ? w.own : w.brought}</td>
              <td>
                <button type="button" class="link" aria-label={`${words.value.agents.change}: ${one.name}`} onClick={() => setOpen(one)}>{words.value.agents.change}</button>{" "}
                {data?.set.has(one.name) && <button type="button" class="link" aria-label={`${w.reset}: ${one.name}`} onClick={() => reset(one).catch(failed)}>{w.reset}</button>}
              </td>
            </tr>
          )} />
      )}
      {found && found.length > SHOWN && <p class="hint">{w.searchMore(count(SHOWN))}</p>}
      {open && <ModelForm model={open === "new" ? null : open} onClose={() => setOpen(null)} onSaved={reload} />}
    </div>
  );
}

function price(usd: number | null): string {
  return usd === null ? "–" : usd.toLocaleString(language.value, { style: "currency", currency: "USD", maximumFractionDigits: 4 });
}

function ModelForm({ model, onClose, onSaved }: { model: Model | null; onClose: () => void; onSaved: () => void }) {
  const w = words.value.models;
  const save = async (values: Values) => {
    const numbers = [...PRICES, "context_tokens"].filter((name) => values[name]?.trim()).map((name) => [name, Number(values[name])]);
    const body = { ...Object.fromEntries(numbers), fallbacks: lines(values.fallbacks) } as Schemas["ModelIn"];
    await need(api.PUT("/api/admin/models/{name}", { params: { path: { name: model?.name ?? values.name ?? "" } }, body }));
    onSaved();
  };
  const known = model ? [...PRICES, "context_tokens" as const].map((name) => [name, model[name] === null ? "" : String(model[name])]) : [];
  return (
    <FormDialog title={model?.name ?? w.make} button={words.value.save} onClose={onClose} onSend={save} values={{ ...Object.fromEntries(known), fallbacks: model?.fallbacks.join("\n") ?? "" }}
      fields={[
        ...(model ? [] : [{ name: "name", label: words.value.name, required: true, hint: w.nameHint }]),
        { name: "input_usd", label: w.input, hint: w.perMillion },
        { name: "output_usd", label: w.output, hint: w.perMillion },
        { name: "cached_input_usd", label: w.cached, hint: w.perMillion },
        { name: "context_tokens", label: w.context, kind: "number" },
        { name: "fallbacks", label: w.fallbacks, kind: "area", rows: 2, hint: words.value.agents.linesHint },
      ]} />
  );
}
