/** Jobs, live. The filters are in the address and nowhere else: a link shows the same rows. */

import { useLocation } from "preact-iso";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, readOn, type Schemas } from "../../api";
import { count } from "../../format";
import { type Changes, useChanges } from "../../live";
import { Empty, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { Csv } from "../../parts/csv";
import { confirmed } from "../../parts/dialog";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";
import { Filters, type JobFilters, queryOf, readFilters } from "./filters";
import { JobTable } from "./table";

type Job = Schemas["JobOut"];
const PAGE = 50;

export default function JobsPage() {
  const w = words.value.jobs;
  const { url } = useLocation();
  const filters = readFilters(url);
  const list = useJobs(filters, url);
  const filtered = Object.values(filters).some((value) => value.length > 0);
  return (
    <div class="page">
      <PageTitle text={w.title}>
        <Live connected={list.connected} />
        <Csv path={`/api/jobs?${new URLSearchParams(flat(queryOf(filters)))}`} name="jobs.csv" />
      </PageTitle>
      <Filters filters={filters} />
      <Summary filters={filters} url={url} changed={list.changed} />
      {list.fresh.length > 0 && (
        <button type="button" class="button fresh" onClick={list.showFresh}>{w.fresh(list.fresh.length)}</button>
      )}
      {list.error !== undefined && <ErrorNote error={list.error} retry={list.reload} />}
      {!list.jobs && list.error === undefined && <Loading />}
      {list.jobs?.length === 0 && list.error === undefined && (
        <Empty>
          <p>{filtered ? w.noMatch : w.empty}</p>
          <a class="button" href={to(filtered ? "jobs" : "chat")}>{filtered ? w.clear : words.value.nav.chat}</a>
        </Empty>
      )}
      {list.jobs && list.jobs.length > 0 && <JobTable jobs={list.jobs} />}
      {list.cursor && <button type="button" class="button" onClick={list.more}>{words.value.more}</button>}
    </div>
  );
}

function flat(query: Record<string, unknown>): string[][] {
  return Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
}

export function Live({ connected }: { connected: boolean }) {
  return (
    <span class={connected ? "live" : "live lost"} role="status">
      {connected ? words.value.live : words.value.notLive}
    </span>
  );
}

function useJobs(filters: JobFilters, url: string) {
  const [jobs, setJobs] = useState<Job[]>();
  const [fresh, setFresh] = useState<Job[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<unknown>();
  const [changed, setChanged] = useState(0);
  const shown = useRef<Set<string>>(new Set());
  shown.current = new Set(jobs?.map((job) => job.id));
  const read = useCallback(
    async (after?: string) => {
      const page = await readOn((cursor) => {
        const query = { ...queryOf(filters), limit: PAGE, ...(cursor ? { cursor } : {}) };
        return need(api.GET("/api/jobs", { params: { query: query as any } }));
      }, after);
      setJobs((old) => (after ? [...(old ?? []), ...page.items] : page.items));
      setCursor(page.next_cursor);
      setError(undefined);
      if (!after) setFresh([]);
      setChanged((n) => n + 1);
    },
    [url],
  );
  const reload = useCallback(() => void read().catch(setError), [read]);
  useEffect(reload, [reload]);
  const onChanges = useCallback(
    (changes: Changes) => {
      if (changes.reload.includes("jobs")) return reload();
      const byId = new Map<string, Job>(changes.jobs.map((job) => [job.id, job]));
      if (!byId.size && !changes.deleted.jobs.length) return;
      const gone = new Set(changes.deleted.jobs);
      setJobs((old) => old?.filter((job) => !gone.has(job.id)).map((job) => byId.get(job.id) ?? job));
      const isNew = (job: Job) => !shown.current.has(job.id) && matches(job, filters);
      setFresh((old) => [...changes.jobs.filter(isNew), ...old.filter((job) => !byId.has(job.id))]);
      setChanged((n) => n + 1);
    },
    [reload, url],
  );
  const connected = useChanges(onChanges, reload);
  return {
    jobs, cursor, error, fresh, connected, changed, reload,
    more: () => void read(cursor ?? undefined).catch(failed),
    showFresh: reload,
  };
}

function matches(job: Job, filters: JobFilters): boolean {
  return (
    (!filters.state.length || filters.state.includes(job.state)) &&
    (!filters.kind || filters.kind === job.kind) &&
    (!filters.agent || filters.agent === job.agent) &&
    (!filters.error || filters.error === job.error?.code)
  );
}

type Counted = { count: number; more: boolean };

function countJobs(query: Record<string, string | string[]>): Promise<Counted> {
  return need(api.GET("/api/jobs/count", { params: { query: query as any } }));
}

/** How many there are, and what can be done with all that failed. */
function Summary({ filters, url, changed }: { filters: JobFilters; url: string; changed: number }) {
  const w = words.value.jobs;
  const [total, setTotal] = useState<Counted>();
  const [dead, setDead] = useState<Counted>();
  useEffect(() => {
    const timer = setTimeout(() => {
      const query = queryOf(filters);
      countJobs(query).then(setTotal, () => undefined);
      countJobs({ ...query, state: ["failed"] }).then(setDead, () => undefined);
    }, 150);
    return () => clearTimeout(timer);
  }, [url, changed]);
  const failedOnes = dead?.count ? count(dead.count) + (dead.more ? "+" : "") : "";
  const retryAll = async () => {
    if (!(await confirmed(w.retryAllSure(failedOnes), w.retryAll))) return;
    const kind = filters.kind ? { kind: filters.kind as "chat" } : {};
    let retried = 0;
    for (let more = true; more; ) {
      const done = await need(api.POST("/api/jobs/retry", { body: { states: ["failed"], ...kind } }));
      retried += done.retried;
      more = done.more;
    }
    told(w.retried(retried));
  };
  const all = !filters.agent && !filters.error && !filters.since && !filters.model;
  return (
    <div class="summary">
      {total && total.count > 0 && <span class="soft">{w.found(total.count, total.more)}</span>}
      {failedOnes && all && may("jobs.write") && (
        <button type="button" class="button" onClick={() => retryAll().catch(failed)}>{w.retryAll} ({failedOnes})</button>
      )}
    </div>
  );
}
