/** The audit log: who did what, from where, and what came of it. The filters are in the address. */

import { useLocation } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need } from "../../api";
import { moment } from "../../format";
import { Badge, PageTitle } from "../../parts/basics";
import { Csv } from "../../parts/csv";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { may } from "../../session";
import { words } from "../../words";

const FILTERS = ["actor", "action", "target", "result", "since"] as const;
type Filters = Record<(typeof FILTERS)[number], string>;
const RESULTS = ["ok", "denied", "failed"];
const TYPING_PAUSE_MS = 400;

export default function AuditPage() {
  const w = words.value.audit;
  const { url } = useLocation();
  const asked = new URLSearchParams(url.split("?")[1] ?? "");
  const filters = Object.fromEntries(FILTERS.map((name) => [name, asked.get(name) ?? ""])) as Filters;
  const query = Object.fromEntries(Object.entries(filters).filter(([, value]) => value));
  const pages = usePages((cursor) => need(api.GET("/api/audit", { params: { query: { ...query, limit: 50, ...(cursor ? { cursor } : {}) } } })), [url]);
  const names = useNames();
  return (
    <div class="page">
      <PageTitle text={w.title}><Csv path={`/api/audit?${new URLSearchParams(query)}`} name="audit.csv" /></PageTitle>
      <AuditFilters filters={filters} />
      <List pages={pages} empty={Object.keys(query).length ? w.noMatch : w.empty} heads={[w.at, w.who, w.action, w.target, w.result, w.address]}
        row={(one) => (
          <tr key={one.id}>
            <td><time dateTime={one.at}>{moment(one.at)}</time></td>
            <td class="wide"><a href={to("audit", { ...filters, actor: one.actor })}>{names.get(one.actor) ?? one.actor}</a></td>
            <td><a href={to("audit", { ...filters, action: one.action })}>{one.action}</a></td>
            <td class="wide">{(names.get(one.target) ?? one.target) || "–"}{one.detail && <><br /><span class="soft">{detail(one.detail)}</span></>}</td>
            <td><Badge state={one.result === "ok" || one.result === "succeeded" ? "ok" : one.result === "cancelled" ? "" : "failed"} label={one.result} /></td>
            <td class="nowrap">{one.address ?? "–"}</td>
          </tr>
        )} />
    </div>
  );
}

function AuditFilters({ filters }: { filters: Filters }) {
  const w = words.value.audit;
  const { route } = useLocation();
  const change = (changed: Partial<Filters>) => route(to("audit", { ...filters, ...changed }), true);
  return (
    <div class="filters">
      {(["action", "target", "actor"] as const).map((name) => <Typed key={name} name={name} value={filters[name]} onChange={(value) => change({ [name]: value })} />)}
      <select aria-label={w.result} value={filters.result} onChange={(event) => change({ result: event.currentTarget.value })}>
        <option value="">{w.result}: {words.value.all}</option>
        {RESULTS.map((one) => <option key={one} value={one}>{one}</option>)}
      </select>
      <select aria-label={w.at} value={filters.since} onChange={(event) => change({ since: event.currentTarget.value })}>
        <option value="">{words.value.jobs.sinceAll}</option>
        {Object.entries(words.value.jobs.sinceOptions).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
      </select>
      {Object.values(filters).some(Boolean) && <a class="button" href={to("audit")}>{words.value.jobs.clear}</a>}
    </div>
  );
}

/** A filter that is typed: it holds when one pauses. */
function Typed({ name, value, onChange }: { name: "action" | "target" | "actor"; value: string; onChange: (value: string) => void }) {
  const w = words.value.audit;
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed === value) return;
    const timer = setTimeout(() => onChange(typed.trim()), TYPING_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const label = { action: w.action, target: w.target, actor: w.who }[name];
  return <input type="search" aria-label={label} placeholder={w.filterHints[name]} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />;
}

function detail(value: Record<string, unknown>): string {
  return Object.entries(value).map(([name, one]) => `${name}: ${typeof one === "object" ? JSON.stringify(one) : one}`).join(" · ").slice(0, 300);
}

/** Names for `user:ID` and `key:ID`. */
function useNames(): Map<string, string> {
  const [names, setNames] = useState(new Map<string, string>());
  useEffect(() => {
    const query = { limit: 100 };
    const add = (found: [string, string][]) => setNames((old) => new Map([...old, ...found]));
    if (may("users.read")) {
      need(api.GET("/api/users", { params: { query } })).then(({ items }) => add(items.map((one) => [`user:${one.id}`, one.name || one.email])), () => undefined);
    }
    if (may("keys.own")) {
      need(api.GET("/api/auth/keys", { params: { query } })).then(({ items }) => add(items.map((one) => [`key:${one.id}`, `${words.value.account.key} ${one.name}`])), () => undefined);
    }
  }, []);
  return names;
}
