/** Runs a pipeline with an input. Which step runs is told by the job's progress; the answer is shown when it is there. */

import { useEffect, useRef, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { Badge, ErrorNote, Field } from "../../parts/basics";
import { follow } from "../../stream";
import { words } from "../../words";
import { Answer, isLast } from "../chat/answer";
import type { Marks } from "./graph-view";

type RunProps = { id: string; needsAgent?: boolean; disabled?: boolean; onMarks: (marks: Marks) => void };

export function RunPane({ id, needsAgent, disabled, onMarks }: RunProps) {
  const w = words.value.pipelines;
  const [input, setInput] = useState("");
  const [agent, setAgent] = useState("");
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>();
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const run = async (event: Event) => {
    event.preventDefault();
    stop.current.abort();
    stop.current = new AbortController();
    setError(undefined);
    onMarks({});
    try {
      const body: Schemas["ExecuteIn"] = { input, ...(agent ? { agent } : {}) } as Schemas["ExecuteIn"];
      const params = { path: { pipeline: id } };
      const accepted = (await need(api.POST("/api/pipelines/{pipeline}/execute", { params, body, headers: { Prefer: "respond-async" } } as any) as any)) as Schemas["AcceptedOut"];
      const growing = new Answer(accepted.job_id);
      setAnswer(growing);
      await watch(growing, stop.current.signal, onMarks);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <form class="card" onSubmit={run}>
      <h2>{w.run}</h2>
      <Field label={w.runInput} hint={disabled ? w.saveFirst : ""}>
        {(field, hint) => <textarea id={field} aria-describedby={hint} rows={3} required value={input} onInput={(event) => setInput(event.currentTarget.value)} />}
      </Field>
      {needsAgent && <Field label={words.value.chat.agent}>{(field) => <input id={field} required value={agent} onInput={(event) => setAgent(event.currentTarget.value)} />}</Field>}
      <button type="submit" class="button primary" disabled={disabled}>{w.run}</button>
      {error !== undefined && <ErrorNote error={error} />}
      {answer && <Outcome answer={answer} />}
    </form>
  );
}

function Outcome({ answer }: { answer: Answer }) {
  const state = answer.state.value === "waiting" ? "queued" : answer.state.value;
  return (
    <div class="outcome" role="status">
      <p><Badge state={state} label={words.value.jobs.states[state]} /> <a href={to(`jobs/${answer.jobId}`)}>{words.value.jobs.job}</a></p>
      {answer.error.value && <p class="field-error">{answer.error.value.message}</p>}
      {answer.text.value && <p class="passage-text">{answer.text.value}</p>}
    </div>
  );
}

/** Follows a run to its end. A step has ended when another one begins; of parallel ones that is only known at the end. */
async function watch(answer: Answer, signal: AbortSignal, onMarks: (marks: Marks) => void): Promise<void> {
  let marks: Marks = {};
  const ended = (mark: Marks[string]) => Object.fromEntries(Object.entries(marks).map(([name, old]) => [name, old === "running" ? mark : old]));
  await follow({
    path: `/api/jobs/${answer.jobId}/events`,
    signal,
    isLast,
    onEvent: (event) => {
      answer.take(event);
      const step = event.type === "job.progress" ? /^Step ([\w-]+)$/.exec(event.data.text)?.[1] : undefined;
      if (step) marks = { ...ended("done"), [step]: "running" };
      if (isLast(event)) marks = ended(event.type === "job.succeeded" ? "done" : "failed") as Marks;
      if (step || isLast(event)) onMarks({ ...marks });
    },
  });
}
