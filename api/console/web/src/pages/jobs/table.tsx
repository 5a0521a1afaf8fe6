/** The rows of the list of jobs. Some are selected, and cancelled or run again together. */

import { useEffect, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { between } from "../../format";
import { Ago, Badge } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { RowsInSight } from "../../parts/rows-in-sight";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";

type Job = Schemas["JobOut"];
const AT_ONCE = 4;

export function JobTable({ jobs }: { jobs: Job[] }) {
  const w = words.value.jobs;
  const chosen = useChosen(jobs);
  const selects = may("jobs.write");
  return (
    <>
      {chosen.jobs.length > 0 && <Bar jobs={chosen.jobs} onDone={chosen.clear} />}
      <table class="rows" aria-rowcount={jobs.length + 1}>
        <thead>
          <tr>
            {selects && (
              <th class="select">
                <input type="checkbox" class="tick" aria-label={words.value.selected.all} checked={chosen.jobs.length === jobs.length}
                  ref={(box) => { if (box) box.indeterminate = chosen.jobs.length > 0 && chosen.jobs.length < jobs.length; }}
                  onChange={(event) => chosen.all(event.currentTarget.checked)} />
              </th>
            )}
            <th>{w.state}</th><th>{w.kind}</th><th>{w.who}</th><th>{w.created}</th><th>{w.took}</th><th>{w.tries}</th>
          </tr>
        </thead>
        <RowsInSight items={jobs} columns={selects ? 7 : 6} row={(job, place) => (
          <tr key={job.id} aria-rowindex={place + 2}>
            {selects && (
              <td class="select">
                <input type="checkbox" class="tick" aria-label={words.value.selected.one(job.kind, job.id)} checked={chosen.has(job.id)} onChange={() => chosen.toggle(job.id)} />
              </td>
            )}
            <Cells job={job} />
          </tr>
        )} />
      </table>
    </>
  );
}

export const kindName = (kind: string) => words.value.jobKinds[kind] ?? kind;

function Cells({ job }: { job: Job }) {
  const w = words.value.jobs;
  return (
    <>
      <td>
        <a class="row-link" href={to(`jobs/${job.id}`)}>
          <Badge state={job.state} label={w.states[job.state]} />
          <span class="visually-hidden">{job.kind} {job.id}</span>
        </a>
      </td>
      <td>{kindName(job.kind)}</td>
      <td class="wide">
        {job.agent ?? job.model ?? "–"}
        {job.waiting_for && <span class="soft"> · {w.waits(w.waitingFor[job.waiting_for] ?? job.waiting_for)}</span>}
        {job.error && <span class="soft"> · {job.error.code}</span>}
      </td>
      <td><Ago at={job.created_at} /></td>
      <td data-label={w.took}>{between(job.started_at, job.finished_at)}</td>
      <td data-label={w.tries}>{job.tries}/{job.max_tries}</td>
    </>
  );
}

/** Which of the shown jobs are selected; one that is no longer shown is not. */
function useChosen(jobs: Job[]) {
  const [ids, setIds] = useState<Set<string>>(new Set());
  useEffect(() => {
    const shown = new Set(jobs.map((job) => job.id));
    setIds((old) => ([...old].every((id) => shown.has(id)) ? old : new Set([...old].filter((id) => shown.has(id)))));
  }, [jobs]);
  return {
    jobs: jobs.filter((job) => ids.has(job.id)),
    has: (id: string) => ids.has(id),
    toggle: (id: string) => setIds((old) => new Set(old.has(id) ? [...old].filter((one) => one !== id) : [...old, id])),
    all: (yes: boolean) => setIds(new Set(yes ? jobs.map((job) => job.id) : [])),
    clear: () => setIds(new Set()),
  };
}

/** What can be done with those that are selected, and with how many of them. */
function Bar({ jobs, onDone }: { jobs: Job[]; onDone: () => void }) {
  const w = words.value.selected;
  const live = jobs.filter((job) => job.state === "queued" || job.state === "running");
  const dead = jobs.filter((job) => job.state === "failed" || job.state === "cancelled");
  const cancel = async () => {
    if (!(await confirmed(w.cancelSure(live.length), w.cancel(live.length)))) return;
    const states = await each(live, (job) => need(api.POST("/api/jobs/{job_id}/cancel", { params: { path: { job_id: job.id } }, body: { mode: "keep" } })));
    const ended = states.filter(({ state }) => state === "succeeded" || state === "failed").length;
    told([w.cancelled(live.length - ended), ended ? w.ended(ended) : ""].filter(Boolean).join(" "));
    onDone();
  };
  const retry = async () => {
    if (!(await confirmed(w.retrySure(dead.length), w.retry(dead.length)))) return;
    const done = await need(api.POST("/api/jobs/retry", { body: { ids: dead.map((job) => job.id) } as Schemas["RetryIn"] }));
    told(words.value.jobs.retried(done.retried));
    onDone();
  };
  return (
    <div class="bar" role="group" aria-label={w.column}>
      <strong role="status">{w.number(jobs.length)}</strong>
      {live.length > 0 && <button type="button" class="button danger" onClick={() => cancel().catch(failed)}>{w.cancel(live.length)}</button>}
      {dead.length > 0 && <button type="button" class="button" onClick={() => retry().catch(failed)}>{w.retry(dead.length)}</button>}
      <button type="button" class="link" onClick={onDone}>{w.none}</button>
    </div>
  );
}

/** Does something with each, a few at a time. */
async function each<T, R>(items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_ONCE) results.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map(work))));
  return results;
}
