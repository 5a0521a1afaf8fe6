/** Jobs, live. The filters are in the address and nowhere else: a link shows the same rows. */

import { useLocation } from "preact-iso";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
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
type Page = { items: Job[]; next_cursor: string | null };
const PAGE = 50;
const MORE = 100;
/** So many rows are read again when the stream can't tell each change; those after them are read on by "more". */
const MOST_READ_AGAIN = 1_000;
const COUNT_PAUSE_MS = 150;
const COUNT_AGAIN_MS = 2_000;

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
  shown.current = useMemo(() => new Set(jobs?.map((job) => job.id)), [jobs]);
  const next = useRef<string | null>(null);
  const inTurn = useTurns(url);
  const read = useCallback(
    async (wanted: number, isCurrent: () => boolean, after?: string) => {
      let found: Job[] = [];
      let at: string | null | undefined = after;
      do {
        const limit = Math.min(MORE, wanted - found.length);
        const page: Page = await readOn((cursor) => {
          const query = { ...queryOf(filters), limit, ...(cursor ? { cursor } : {}) };
          return need(api.GET("/api/jobs", { params: { query: query as any } }));
        }, at ?? undefined);
        found = [...found, ...page.items];
        at = page.next_cursor;
      } while (at && found.length < wanted);
      if (!isCurrent()) return;
      next.current = at;
      setJobs((old) => (after ? [...(old ?? []), ...found] : found));
      setCursor(at);
      setError(undefined);
      if (!after) setFresh([]);
      setChanged((n) => n + 1);
    },
    [url],
  );
  const reload = useCallback(() => void inTurn("again", (isCurrent) => read(PAGE, isCurrent)).catch(setError), [read]);
  const readAgain = useCallback(() => {
    const many = () => Math.max(PAGE, Math.min(shown.current.size, MOST_READ_AGAIN));
    void inTurn("again", (isCurrent) => read(many(), isCurrent)).catch(setError);
  }, [read]);
  const more = () => void inTurn("more", (isCurrent) => read(MORE, isCurrent, next.current ?? undefined)).catch(failed);
  useEffect(reload, [reload]);
  const onChanges = useCallback(
    (changes: Changes) => {
      if (changes.reload.includes("jobs")) return readAgain();
      const byId = new Map<string, Job>(changes.jobs.map((job) => [job.id, job]));
      if (!byId.size && !changes.deleted.jobs.length) return;
      const gone = new Set(changes.deleted.jobs);
      setJobs((old) => old?.filter((job) => !gone.has(job.id)).map((job) => byId.get(job.id) ?? job));
      const isNew = (job: Job) => !shown.current.has(job.id) && matches(job, filters);
      setFresh((old) => [...changes.jobs.filter(isNew), ...old.filter((job) => !byId.has(job.id))]);
      setChanged((n) => n + 1);
    },
    [readAgain, url],
  );
  const connected = useChanges(onChanges, readAgain);
  return {
    jobs, cursor, error, fresh, connected, changed, reload, more,
    showFresh: reload,
  };
}

/** Reads a list one read after the other, so that a page that is read on follows what was read anew. One that waits already is not
 * asked for twice; what was asked for with another address is told that it is no longer current. */
function useTurns(url: string) {
  const last = useRef(Promise.resolve());
  const waiting = useRef(new Set<string>());
  const current = useRef(url);
  current.current = url;
  return (name: string, work: (isCurrent: () => boolean) => Promise<void>): Promise<void> => {
    const key = `${name} ${url}`;
    if (waiting.current.has(key)) return last.current;
    waiting.current.add(key);
    const done = last.current.then(() => {
      waiting.current.delete(key);
      return work(() => current.current === url);
    });
    last.current = done.catch(() => undefined);
    return done;
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
  const counted = useRef({ url: "", at: 0 });
  useEffect(() => {
    const again = counted.current.url === url ? counted.current.at + COUNT_AGAIN_MS - Date.now() : 0;
    const timer = setTimeout(() => {
      counted.current = { url, at: Date.now() };
      const query = queryOf(filters);
      countJobs(query).then(setTotal, () => undefined);
      countJobs({ ...query, state: ["failed"] }).then(setDead, () => undefined);
    }, Math.max(COUNT_PAUSE_MS, again));
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
