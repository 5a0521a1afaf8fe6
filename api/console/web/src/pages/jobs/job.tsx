/** One job: what it is, how it went, and what can be done about it. Its events come as they happen. */

import { useRoute } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { between, clock, duration, moment, money } from "../../format";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { may } from "../../session";
import { follow, type StreamEvent } from "../../stream";
import { words } from "../../words";
import { Why } from "../agents/why";
import { Answer, isLast, type Usage } from "../chat/answer";
import { Steps } from "../chat/steps";
import { kindName } from "./table";

type Job = Schemas["JobDetailOut"];
type Line = { type: string; at: string; first: number; number: number; text: string };

export default function JobPage() {
  const w = words.value.jobs;
  const id = useRoute().params.job ?? "";
  const path = { params: { path: { job_id: id } } };
  const { data: job, error, reload } = useLoad(() => need(api.GET("/api/jobs/{job_id}", path)), [id]);
  const [round, setRound] = useState(0);
  const { lines, answer } = useTimeline(id, round, reload);
  const act = async (work: Promise<unknown>) => {
    await work;
    reload();
    setRound((n) => n + 1);
  };
  const cancel = () => act(need(api.POST("/api/jobs/{job_id}/cancel", { ...path, body: { mode: "keep" } }))).catch(failed);
  const again = () => act(need(api.POST("/api/jobs/{job_id}/retry", path))).catch(failed);
  return (
    <div class="page">
      <p><a href={to("jobs")}>{w.back}</a></p>
      <PageTitle text={job ? `${w.job}: ${kindName(job.kind)}` : w.job}>
        {job && may("jobs.write") && (job.state === "queued" || job.state === "running") && (
          <button type="button" class="button danger" onClick={cancel}>{w.cancelJob}</button>
        )}
        {job && may("jobs.write") && (job.state === "failed" || job.state === "cancelled") && (
          <button type="button" class="button primary" onClick={again}>{w.retry}</button>
        )}
      </PageTitle>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!job && error === undefined && <Loading />}
      {job && <Facts job={job} usage={answer.usage.value} />}
      {job?.error && <div class="note error"><strong>{w.error}: {job.error.code}</strong><p>{String(job.error.message)}</p></div>}
      {job && job.attempts.length > 0 && <Attempts attempts={job.attempts} />}
      <Trace answer={answer} />
      {lines.length > 0 && <Timeline lines={lines} />}
      {job?.result && <Result result={job.result} />}
    </div>
  );
}

function Facts({ job, usage: told }: { job: Job; usage: Usage | null }) {
  const w = words.value.jobs;
  const usage = (job.result?.usage as Usage | undefined) ?? told;
  return (
    <dl class="facts">
      <dt>{w.state}</dt>
      <dd>
        <Badge state={job.state} label={w.states[job.state]} />
        {job.waiting_for && <span class="soft"> {w.waits(w.waitingFor[job.waiting_for] ?? job.waiting_for)}</span>}
      </dd>
      <dt>{w.who}</dt>
      <dd>{[job.agent, job.model].filter(Boolean).join(" · ") || "–"}</dd>
      <dt>{w.created}</dt>
      <dd>{moment(job.created_at)} (<Ago at={job.created_at} />)</dd>
      <dt>{w.took}</dt>
      <dd>{between(job.started_at, job.finished_at)}</dd>
      <dt>{w.tries}</dt>
      <dd>{job.tries}/{job.max_tries}</dd>
      {usage && (
        <>
          <dt>{w.cost}</dt>
          <dd>
            {words.value.chat.tokens(usage.input_tokens, usage.output_tokens)}
            {usage.cost_usd != null && ` · ${money(usage.cost_usd)}`}
          </dd>
        </>
      )}
      {job.session_id && (
        <>
          <dt>{w.conversation}</dt>
          <dd><a href={to(`chat/${job.session_id}`)}>{job.session_id}</a></dd>
        </>
      )}
      <dt>{w.job}</dt>
      <dd class="mono">{job.id}</dd>
      {job.request_id && (<><dt>{w.request}</dt><dd class="mono">{job.request_id}</dd></>)}
    </dl>
  );
}

function Attempts({ attempts }: { attempts: Job["attempts"] }) {
  const w = words.value.jobs;
  return (
    <section>
      <h2>{w.attempts}</h2>
      <table class="rows plain">
        <thead><tr><th>{w.attempt}</th><th>{w.outcome}</th><th>{w.worker}</th><th>{w.took}</th><th>{w.error}</th></tr></thead>
        <tbody>
          {attempts.map((one) => (
            <tr key={one.attempt}>
              <td>{one.attempt}</td>
              <td><Badge state={one.outcome ?? "running"} label={one.outcome ? (w.outcomes[one.outcome] ?? one.outcome) : w.runs} /></td>
              <td>{one.worker}</td>
              <td>{between(one.started_at, one.ended_at)}</td>
              <td class="wide">{one.error ? String(one.error.message) : "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** What was done, step by step: who was chosen and why, the plan, the tools with what they were asked and what they said. */
function Trace({ answer }: { answer: Answer }) {
  const w = words.value.chat;
  const [reason, steps, plan] = [answer.reason.value, answer.steps.value, answer.plan.value];
  if (!reason && !steps.length && !plan.length) return null;
  return (
    <section>
      <h2>{w.steps}</h2>
      {reason && <Why answer={answer} />}
      {plan.length > 0 && <ol class="plan">{plan.map((step, place) => <li key={place}>{step}</li>)}</ol>}
      {steps.length > 0 && <Steps steps={steps} />}
    </section>
  );
}

function Timeline({ lines }: { lines: Line[] }) {
  const w = words.value.jobs;
  const start = lines[0]?.first ?? 0;
  return (
    <section>
      <h2>{w.timeline}</h2>
      <ol class="timeline">
        {lines.map((line, place) => (
          <li key={place}>
            <time dateTime={line.at} title={clock(line.at)}>+{duration(line.first - start)}</time>
            <span>
              {w.events[line.type] ?? line.type}
              {line.number > 1 && <span class="soft"> × {line.number}</span>}
              {line.text && <span class="soft"> · {line.text}</span>}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Result({ result }: { result: Record<string, unknown> }) {
  const text = typeof result.text === "string" ? result.text : JSON.stringify(result, null, 2);
  return (
    <section>
      <h2>{words.value.jobs.result}</h2>
      <div class="lines" tabIndex={0}>{text.slice(0, 20_000).split("\n").map((line, place) => <div key={place}>{line || "\u00a0"}</div>)}</div>
    </section>
  );
}

/** The job's events so far, and those that come; runs of the same delta are one line. */
function useTimeline(id: string, round: number, onEnd: () => void): { lines: Line[]; answer: Answer } {
  const [lines, setLines] = useState<Line[]>([]);
  const [answer, setAnswer] = useState(() => new Answer(id));
  useEffect(() => {
    const stop = new AbortController();
    const growing = new Answer(id);
    setAnswer(growing);
    let gathered: Line[] = [];
    let frame = 0;
    const onEvent = (event: StreamEvent) => {
      gathered = withEvent(gathered, event);
      growing.take(event);
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setLines(gathered);
      });
      if (isLast(event)) onEnd();
    };
    follow({ path: `/api/jobs/${id}/events`, signal: stop.signal, isLast, onEvent }).catch(() => undefined);
    return () => {
      stop.abort();
      cancelAnimationFrame(frame);
    };
  }, [id, round]);
  return { lines, answer };
}

function withEvent(lines: Line[], { type, data }: StreamEvent): Line[] {
  const last = lines.at(-1);
  if (last?.type === type && type.endsWith(".delta")) return [...lines.slice(0, -1), { ...last, number: last.number + 1 }];
  return [...lines, { type, at: data.at, first: Date.parse(data.at), number: 1, text: summary(data) }];
}

function summary(data: any): string {
  const text = data.worker ?? data.agent ?? data.name ?? data.document ?? data.error?.message ?? data.reason ?? "";
  const more = data.duration_ms !== undefined ? ` · ${duration(data.duration_ms)}` : "";
  return `${String(text)}${more}`;
}
