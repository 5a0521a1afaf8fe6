/** The tenants of the installation, for its admins: made, limited, suspended, resumed, deleted. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { money } from "../../format";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, type FormField, lines, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { words } from "../../words";
import { NewKey } from "./keys";

type Tenant = Schemas["TenantOut"];
const LIMITS = ["requests_per_minute", "tokens_per_minute", "budget_day_usd", "budget_month_usd", "max_storage_bytes"] as const;
const COUNTS = ["max_running", "max_queued", "weight", "audit_days"] as const;
const DAYS = ["retention_days", "archive_days"] as const;

export default function TenantsPage() {
  const w = words.value.tenants;
  const [search, setSearch] = useState("");
  const pages = usePages(
    (cursor) => need(api.GET("/api/admin/tenants", { params: { query: { limit: 50, ...(search ? { search } : {}), ...(cursor ? { cursor } : {}) } } })),
    [search],
  );
  const [open, setOpen] = useState<Tenant | "new" | null>(null);
  const [key, setKey] = useState("");
  const path = (one: Tenant) => ({ params: { path: { tenant: one.slug } } });
  const toggle = async (one: Tenant) => {
    if (one.state !== "active") await need(api.POST("/api/admin/tenants/{tenant}/resume", path(one)));
    else if (!(await confirmed(w.suspendSure(one.name), w.suspend))) return;
    else await need(api.POST("/api/admin/tenants/{tenant}/suspend", path(one)));
    pages.reload();
  };
  const remove = async (one: Tenant) => {
    if (!(await confirmed(w.removeSure(one.name), words.value.remove))) return;
    await need(api.DELETE("/api/admin/tenants/{tenant}", path(one)));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setOpen("new")}>{w.make}</button></PageTitle>
      <div class="filters">
        <input type="search" aria-label={words.value.search} placeholder={words.value.search} value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
      </div>
      <List pages={pages} empty={w.empty} heads={[words.value.name, words.value.jobs.state, w.budgets, w.running, words.value.jobs.created, ""]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide"><strong>{one.name}</strong><br /><span class="soft">{one.slug}</span></td>
            <td><Badge state={one.state === "active" ? "ok" : "failed"} label={w.states[one.state] ?? one.state} /></td>
            <td>{[one.limits.budget_day_usd, one.limits.budget_month_usd].map((usd) => (usd === null ? "–" : money(usd))).join(" / ")}</td>
            <td class="number">{one.max_running}</td>
            <td><Ago at={one.created_at} /></td>
            <td>
              <button type="button" class="link" aria-label={`${words.value.agents.change}: ${one.slug}`} onClick={() => setOpen(one)}>{words.value.agents.change}</button>{" "}
              <button type="button" class="link" aria-label={`${one.state === "active" ? w.suspend : w.resume}: ${one.slug}`} onClick={() => toggle(one).catch(failed)}>
                {one.state === "active" ? w.suspend : w.resume}
              </button>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${one.slug}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {open && <TenantForm tenant={open === "new" ? null : open} onClose={() => setOpen(null)} onSaved={pages.reload} onKey={setKey} />}
      {key && <NewKey secret={key} onClose={() => setKey("")} />}
    </div>
  );
}

type FormProps = { tenant: Tenant | null; onClose: () => void; onSaved: () => void; onKey: (key: string) => void };

function TenantForm({ tenant, onClose, onSaved, onKey }: FormProps) {
  const w = words.value.tenants;
  const numbers: FormField[] = [...LIMITS, ...COUNTS, ...DAYS].map((name) => ({ name, label: w.fields[name] ?? name, hint: w.hints[name] }));
  const fields: FormField[] = [
    ...(tenant ? [] : [{ name: "slug", label: w.slug, required: true, hint: w.slugHint }]),
    { name: "name", label: words.value.name, required: true },
    ...(tenant ? [] : [
      { name: "owner", label: w.owner, kind: "email" as const, hint: w.ownerHint },
      { name: "models", label: w.models, kind: "area" as const, rows: 2, hint: w.modelsHint },
    ]),
    { name: "default_model", label: w.defaultModel },
    ...numbers,
  ];
  const save = async (values: Values) => {
    const body = bodyOf(values);
    if (tenant) await need(api.PATCH("/api/admin/tenants/{tenant}", { params: { path: { tenant: tenant.slug } }, body }));
    else {
      const owner = values.owner ? { owner: { email: values.owner } } : {};
      const made = await need(api.POST("/api/admin/tenants", { body: { ...body, ...owner, slug: values.slug, models: lines(values.models) } as Schemas["TenantIn"] }));
      onKey((made as Schemas["TenantCreatedOut"]).api_key ?? "");
    }
    onSaved();
  };
  return <FormDialog wide title={tenant?.name ?? w.make} button={tenant ? words.value.save : words.value.create} fields={fields} values={tenant ? valuesOf(tenant) : { models: "*" }} onClose={onClose} onSend={save} />;
}

function valuesOf(tenant: Tenant): Values {
  const text = (value: number | string | null) => (value === null ? "" : String(value));
  const limits = LIMITS.map((name) => [name, text(tenant.limits[name])]);
  return { name: tenant.name, default_model: tenant.default_model ?? "", ...Object.fromEntries([...limits, ...[...COUNTS, ...DAYS].map((name) => [name, text(tenant[name])])]) };
}

/** An empty field of a limit is no limit; of a number that must be, what it was. */
function bodyOf(values: Values): Schemas["TenantChangeIn"] {
  const number = (name: string) => (values[name]?.trim() ? Number(values[name]) : null);
  const counts = COUNTS.filter((name) => number(name) !== null).map((name) => [name, number(name)]);
  return {
    name: values.name, default_model: values.default_model || null,
    limits: Object.fromEntries(LIMITS.map((name) => [name, number(name)])), ...Object.fromEntries([...counts, ...DAYS.map((name) => [name, number(name)])]),
  } as Schemas["TenantChangeIn"];
}
