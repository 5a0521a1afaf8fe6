/** The filters of the list of jobs, which live in the address. */

import { useLocation } from "preact-iso";
import { to } from "../../address";
import { api, need } from "../../api";
import { useLoad } from "../../parts/load";
import { may } from "../../session";
import { words } from "../../words";

export type JobFilters = { state: string[]; kind: string; agent: string; model: string; error: string; since: string };

const KINDS = ["chat", "pipeline", "ingestion", "benchmark", "batch"];
const STATES = ["queued", "running", "succeeded", "failed", "cancelled"] as const;

export function readFilters(url: string): JobFilters {
  const query = new URLSearchParams(url.split("?")[1] ?? "");
  const one = (name: string) => query.get(name) ?? "";
  return {
    state: query.getAll("state"), kind: one("kind"), agent: one("agent"),
    model: one("model"), error: one("error"), since: one("since"),
  };
}

/** The filters as the API takes them: those that are set. */
export function queryOf(filters: JobFilters): Record<string, string | string[]> {
  return Object.fromEntries(Object.entries(filters).filter(([, value]) => value.length > 0));
}

export function Filters({ filters }: { filters: JobFilters }) {
  const w = words.value.jobs;
  const { route } = useLocation();
  const agents = useLoad(async () => (may("agents.read") ? (await need(api.GET("/api/agents"))).items : []), []);
  const listed = (agents.data ?? []).map((agent) => agent.name);
  const names = filters.agent && !listed.includes(filters.agent) ? [filters.agent, ...listed] : listed;
  const change = (changed: Partial<JobFilters>) => route(to("jobs", { ...filters, ...changed }));
  const toggle = (state: string) =>
    change({ state: filters.state.includes(state) ? filters.state.filter((one) => one !== state) : [...filters.state, state] });
  return (
    <div class="filters">
      <div class="chips" role="group" aria-label={w.state}>
        {STATES.map((state) => (
          <button type="button" class="chip" key={state} aria-pressed={filters.state.includes(state)} onClick={() => toggle(state)}>
            {w.states[state]}
          </button>
        ))}
      </div>
      <select aria-label={w.kind} value={filters.kind} onChange={(event) => change({ kind: event.currentTarget.value })}>
        <option value="">{w.kind}: {words.value.all}</option>
        {KINDS.map((kind) => <option key={kind} value={kind}>{words.value.jobKinds[kind]}</option>)}
      </select>
      {names.length > 0 && (
        <select aria-label={words.value.chat.agent} value={filters.agent} onChange={(event) => change({ agent: event.currentTarget.value })}>
          <option value="">{words.value.chat.agent}: {words.value.all}</option>
          {names.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      )}
      <select aria-label={w.since} value={filters.since} onChange={(event) => change({ since: event.currentTarget.value })}>
        <option value="">{w.sinceAll}</option>
        {Object.entries(w.sinceOptions).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
      </select>
      {(["model", "error"] as const).filter((name) => filters[name]).map((name) => (
        <button type="button" class="chip" key={name} aria-pressed="true" onClick={() => change({ [name]: "" })}>
          {filters[name]} ×
        </button>
      ))}
    </div>
  );
}
