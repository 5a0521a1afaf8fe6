/** The filters of the list of jobs, which live in the address. */

import { useLocation } from "preact-iso";
import { to } from "../../address";
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
        {KINDS.map((kind) => <option key={kind} value={kind}>{kind}</option>)}
      </select>
      <select aria-label={w.since} value={filters.since} onChange={(event) => change({ since: event.currentTarget.value })}>
        <option value="">{w.sinceAll}</option>
        {Object.entries(w.sinceOptions).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
      </select>
      {(["agent", "model", "error"] as const).filter((name) => filters[name]).map((name) => (
        <button type="button" class="chip" key={name} aria-pressed="true" onClick={() => change({ [name]: "" })}>
          {filters[name]} ×
        </button>
      ))}
    </div>
  );
}
