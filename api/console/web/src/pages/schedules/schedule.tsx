/** One schedule: its next times, what became of the earlier ones and why, and what can be done with it. */

import { useLocation, useRoute } from "preact-iso";
import { useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { ago, moment } from "../../format";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";
import { ScheduleForm } from "./form";
import { ScheduleState } from "./page";

type Detail = Schemas["ScheduleDetailOut"];
type Run = Schemas["ScheduleRunOut"];

export default function SchedulePage() {
  const w = words.value.schedules;
  const id = useRoute().params.schedule ?? "";
  const { route } = useLocation();
  const path = { params: { path: { schedule_id: id } } };
  const { data, error, reload, set } = useLoad(() => need(api.GET("/api/schedules/{schedule_id}", path)), [id]);
  const runs = usePages(
    (cursor) => need(api.GET("/api/schedules/{schedule_id}/runs", { params: { path: { schedule_id: id }, query: { limit: 30, ...(cursor ? { cursor } : {}) } } })),
    [id],
  );
  const [changing, setChanging] = useState(false);
  const change = (work: Promise<Detail>) => work.then((changed) => set(() => changed), failed);
  const run = async () => {
    await need(api.POST("/api/schedules/{schedule_id}/run", path));
    told(w.started);
    runs.reload();
  };
  const remove = async (schedule: Detail) => {
    if (!(await confirmed(words.value.confirmRemove(schedule.name), words.value.remove))) return;
    await need(api.DELETE("/api/schedules/{schedule_id}", path));
    route(to("schedules"), true);
  };
  return (
    <div class="page">
      <p><a href={to("schedules")}>{w.back}</a></p>
      <PageTitle text={data?.name ?? w.title}>
        {data && may("schedules.write") && (
          <>
            <button type="button" class="button primary" onClick={() => run().catch(failed)}>{w.runNow}</button>
            {data.state === "active" ? (
              <button type="button" class="button" onClick={() => change(need(api.POST("/api/schedules/{schedule_id}/pause", path)))}>{w.pause}</button>
            ) : (
              <button type="button" class="button" onClick={() => change(need(api.POST("/api/schedules/{schedule_id}/resume", path)))}>{w.resume}</button>
            )}
            <button type="button" class="button" onClick={() => setChanging(true)}>{w.change}</button>
            <button type="button" class="button danger" onClick={() => remove(data).catch(failed)}>{words.value.remove}</button>
          </>
        )}
      </PageTitle>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && <Facts schedule={data} />}
      <section>
        <h2>{w.history}</h2>
        <List pages={runs} empty={w.noHistory} heads={[w.due, w.outcome, words.value.jobs.job, w.why]} row={runRow} />
      </section>
      {changing && data && <ScheduleForm schedule={data} onClose={() => setChanging(false)} onSaved={reload} />}
    </div>
  );
}

function Facts({ schedule }: { schedule: Detail }) {
  const w = words.value.schedules;
  return (
    <dl class="facts">
      <dt>{words.value.jobs.state}</dt>
      <dd>
        <ScheduleState schedule={schedule} />
        {schedule.reason && <span class="soft"> {String(schedule.reason.message ?? schedule.reason.code)}</span>}
      </dd>
      <dt>{w.cron}</dt>
      <dd><span class="mono">{schedule.cron}</span> <span class="soft">{schedule.timezone}</span></dd>
      <dt>{w.nextTimes}</dt>
      <dd>
        {schedule.next_times.length === 0 && "–"}
        <ol class="plain-list">
          {schedule.next_times.map((at) => <li key={at}>{moment(at)} <span class="soft">({ago(at)})</span></li>)}
        </ol>
      </dd>
      <dt>{w.does}</dt>
      <dd class="wide">{String(schedule.job.message ?? JSON.stringify(schedule.job))}</dd>
    </dl>
  );
}

function runRow(run: Run) {
  const w = words.value.schedules;
  const mark = { submitted: "ok", waiting: "queued", refused: "failed" }[run.outcome as string] ?? "";
  const reason = run.reason as { message?: string; code?: string } | null;
  const why = [run.manual ? w.manual : "", run.missed > 1 ? w.manyMissed(run.missed) : "", reason?.message ?? reason?.code ?? ""];
  return (
    <tr key={run.due_at + run.created_at}>
      <td><time dateTime={run.due_at}>{moment(run.due_at)}</time> <span class="soft"><Ago at={run.due_at} /></span></td>
      <td><Badge state={mark} label={w.outcomes[run.outcome] ?? run.outcome} /></td>
      <td>
        {run.job_id ? (
          <a href={to(`jobs/${run.job_id}`)}>{run.job_state ? words.value.jobs.states[run.job_state] : words.value.jobs.job}</a>
        ) : "–"}
      </td>
      <td class="wide">{why.filter(Boolean).join(" · ") || "–"}</td>
    </tr>
  );
}
