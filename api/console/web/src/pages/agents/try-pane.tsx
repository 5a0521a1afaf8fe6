/** Asks an agent, or whom the router finds, beside the agent's settings; and says why that one answers. */

import { useEffect, useRef, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need } from "../../api";
import { ErrorNote, Field } from "../../parts/basics";
import { follow } from "../../stream";
import { words } from "../../words";
import { Answer, isLast } from "../chat/answer";
import { AnswerView } from "../chat/answer-view";
import { isActive } from "../chat/conversation";
import { Why } from "./why";

const AUTO = "auto";

export function TryPane({ name }: { name: string }) {
  const w = words.value.agentPage;
  const [question, setQuestion] = useState("");
  const [who, setWho] = useState(name);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>();
  const stop = useRef(new AbortController());
  const session = useRef("");
  useEffect(() => () => stop.current.abort(), []);
  const ask = async (event: Event) => {
    event.preventDefault();
    stop.current.abort();
    stop.current = new AbortController();
    setError(undefined);
    forget(session.current);
    try {
      const body = { message: question, agent: who };
      const accepted = await need(api.POST("/api/chat", { body, headers: { Prefer: "respond-async" } } as any) as any) as { job_id: string; session_id: string };
      session.current = accepted.session_id;
      const growing = new Answer(accepted.job_id);
      setAnswer(growing);
      await follow({ path: `/api/jobs/${growing.jobId}/events`, signal: stop.current.signal, isLast, onEvent: (told) => growing.take(told) });
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <form class="card try" onSubmit={ask}>
      <h2>{w.tryIt}</h2>
      <Field label={w.question} hint={w.tryHint}>
        {(id, hint) => <textarea id={id} aria-describedby={hint} rows={3} required maxLength={20_000} value={question} onInput={(event) => setQuestion(event.currentTarget.value)} />}
      </Field>
      <fieldset class="field many">
        <legend class="label">{w.who}</legend>
        {[[name, w.thisOne], [AUTO, w.byQuestion]].map(([value = "", label]) => (
          <label class="check" key={value}>
            <input type="radio" name="who" checked={who === value} onChange={() => setWho(value)} /> <span>{label}</span>
          </label>
        ))}
      </fieldset>
      <button type="submit" class="button primary">{w.ask}</button>
      {error !== undefined && <ErrorNote error={error} />}
      {answer && (
        <div class="outcome" aria-live="polite">
          {answer.reason.value && <Why answer={answer} />}
          <AnswerView key={answer.jobId} answer={answer} />
          {answer.error.value && <p class="field-error">{answer.error.value.message}</p>}
          {!isActive(answer.state.value) && <p><a href={to(`jobs/${answer.jobId}`)}>{words.value.chat.details}</a></p>}
        </div>
      )}
    </form>
  );
}

/** The conversation of an earlier try is no use to anybody; one that still runs stays. */
function forget(session: string): void {
  if (session) api.DELETE("/api/sessions/{session_id}", { params: { path: { session_id: session } } }).catch(() => undefined);
}
