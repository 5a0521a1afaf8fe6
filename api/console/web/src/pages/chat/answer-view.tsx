/** An answer as it grows: plan, reasoning, steps, text, sources; then what can be done with it. */

import { effect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { to } from "../../address";
import { duration, money } from "../../format";
import { IconButton } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { Menu } from "../../parts/menu";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { follow } from "../../stream";
import { words } from "../../words";
import { Answer, type Citation, isLast } from "./answer";
import { isActive } from "./conversation";
import { Feedback } from "./feedback";
import { GrowingMarkdown } from "./markdown";
import { isOnlyData, Rendered, shownOf } from "./rendered";
import { Steps } from "./steps";
import { chatModels } from "./targets";

type AnswerProps = { answer: Answer; onAgain: (model: string) => void; onBranch: (messageId: string) => void };

/** `chat` is the model alone, which is no agent. */
const isAgent = (name: string | null) => name !== null && name !== "chat";

/** Without what can be done with it, it is read only. */
export function AnswerView({ answer, onAgain, onBranch }: Pick<AnswerProps, "answer"> & Partial<AnswerProps>) {
  const w = words.value.chat;
  const [source, setSource] = useState<Citation | null>(null);
  const state = answer.state.value;
  const active = isActive(state);
  const shown = active ? null : shownOf(answer.data.value, answer.text.value);
  return (
    <div class="answer" aria-busy={active}>
      <h2 class="answer-name">
        {isAgent(answer.agent.value) ? answer.agent.value : w.assistant}
        {answer.model.value && <span class="answer-model">{answer.model.value}</span>}
      </h2>
      <Plan answer={answer} />
      {answer.reasoning.value && <Reasoning answer={answer} />}
      {answer.steps.value.length > 0 && <Steps steps={answer.steps.value} />}
      {answer.restarted.value && active && <p class="note" role="status">{w.restarted}</p>}
      {!(shown && isOnlyData(answer.text.value)) && <Text answer={answer} onSource={setSource} />}
      {shown && <Rendered shown={shown} />}
      {active && <Progress answer={answer} />}
      {state === "failed" && onAgain && <Failure answer={answer} onAgain={onAgain} />}
      {state === "cancelled" && <p class="hint">{answer.text.value ? w.interrupted : w.cancelled}</p>}
      {answer.notice.value && <p class="note">{w.notices[answer.notice.value.code] ?? answer.notice.value.message}</p>}
      <Sources citations={answer.citations.value} onSource={setSource} />
      {!active && onAgain && onBranch && <Actions answer={answer} onAgain={onAgain} onBranch={onBranch} />}
      {source && <Source citation={source} onClose={() => setSource(null)} />}
    </div>
  );
}

function Text({ answer, onSource }: { answer: Answer; onSource: (source: Citation) => void }) {
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!root.current) return;
    const shown = new GrowingMarkdown(root.current);
    const stop = effect(() => {
      if (isActive(answer.state.value)) shown.show(answer.text.value);
      else shown.finish(answer.text.value);
      const citations = answer.citations.value;
      const numbers = citations.flatMap((one) => one.number ?? []);
      shown.cite(numbers, (number) => {
        const found = citations.find((one) => one.number === number);
        if (found) onSource(found);
      });
    });
    return () => {
      stop();
      shown.dispose();
    };
  }, [answer]);
  return <div class="markdown" ref={root} />;
}

function Plan({ answer }: { answer: Answer }) {
  if (!answer.plan.value.length) return null;
  return (
    <details class="fold">
      <summary>{words.value.chat.plan}</summary>
      <ol>
        {answer.plan.value.map((step, place) => (
          <li key={place}>{step}</li>
        ))}
      </ol>
    </details>
  );
}

function Reasoning({ answer }: { answer: Answer }) {
  return (
    <details class="fold">
      <summary>{words.value.chat.reasoning}</summary>
      <div class="reasoning">
        {answer.reasoning.value.split("\n").map((line, place) => (
          <div key={place}>{line || "\u00a0"}</div>
        ))}
      </div>
    </details>
  );
}

function Progress({ answer }: { answer: Answer }) {
  const w = words.value.chat;
  if (answer.text.value) return null;
  const text = answer.progress.value || (answer.state.value === "waiting" ? w.waiting : w.thinking);
  return (
    <p class="progress">
      <span class="pulse" aria-hidden="true" /> {text}
    </p>
  );
}

function Failure({ answer, onAgain }: { answer: Answer; onAgain: (model: string) => void }) {
  const w = words.value.chat;
  return (
    <div class="note error" role="alert">
      <p>
        <strong>{w.failed}.</strong> {answer.error.value?.message}
      </p>
      <button type="button" class="button" onClick={() => onAgain("")}>
        {w.askAgain}
      </button>
      {may("jobs.read") && <a class="link" href={to(`jobs/${answer.jobId}`)}>{w.job}</a>}
    </div>
  );
}

function Sources({ citations, onSource }: { citations: Citation[]; onSource: (source: Citation) => void }) {
  if (!citations.length) return null;
  const w = words.value.chat;
  return (
    <div class="sources">
      <h3>{w.sources}</h3>
      <ol>
        {citations.map((one, place) => (
          <li key={place}>
            <button type="button" class="source" onClick={() => onSource(one)}>
              <span class="cite">{one.number ?? place + 1}</span> {one.document}
              {one.page !== null && one.page !== undefined && <span class="soft">, {w.page(one.page)}</span>}
            </button>
          </li>
        ))}
      </ol>
    </div>
  );
}

function Source({ citation, onClose }: { citation: Citation; onClose: () => void }) {
  const w = words.value.chat;
  const find = citation.passage.trim().slice(0, 60);
  return (
    <Dialog title={citation.document} onClose={onClose} wide>
      <p class="soft">
        {[citation.heading, citation.page ? w.page(citation.page) : null].filter(Boolean).join(" · ")}
      </p>
      <blockquote class="passage">{citation.passage}</blockquote>
      <div class="dialog-actions">
        <a class="button primary" href={to(`documents/${citation.document_id}`, { find })} onClick={onClose}>
          {w.openDocument}
        </a>
      </div>
    </Dialog>
  );
}

function Actions({ answer, onAgain, onBranch }: AnswerProps) {
  const w = words.value.chat;
  const id = answer.messageId.value;
  const [details, setDetails] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(answer.text.value);
    told(words.value.copied);
  };
  return (
    <div class="answer-actions">
      {answer.text.value && <IconButton icon="copy" label={words.value.copy} onClick={() => copy().catch(failed)} />}
      {id && may("sessions.write") && <Feedback messageId={id} />}
      <Menu label={w.regenerate} icon="again">
        <button type="button" onClick={() => onAgain("")}>{w.regenerate}</button>
        {chatModels.value.map((name) => (
          <button type="button" key={name} onClick={() => onAgain(name)}>
            {w.regenerateWith} {name}
          </button>
        ))}
      </Menu>
      {id && <IconButton icon="branch" label={w.branch} onClick={() => onBranch(id)} />}
      {may("jobs.read") && (
        <button type="button" class="link" aria-expanded={details} onClick={() => setDetails(!details)}>
          {w.details}
        </button>
      )}
      {details && <Details answer={answer} />}
    </div>
  );
}

/** What an answer cost and how it came about; one of an earlier visit reads its events again. */
function Details({ answer }: { answer: Answer }) {
  const w = words.value.chat;
  const [read, setRead] = useState(answer);
  useEffect(() => {
    if (answer.times.value.ended) return;
    const again = new Answer(answer.jobId);
    const stop = new AbortController();
    follow({ path: `/api/jobs/${answer.jobId}/events`, signal: stop.signal, isLast, onEvent: (event) => again.take(event) })
      .then(() => setRead(again))
      .catch(failed);
    return () => stop.abort();
  }, [answer]);
  const { started, ended, first } = read.times.value;
  const usage = read.usage.value;
  const facts = [
    started && ended ? duration(Date.parse(ended) - Date.parse(started)) : "",
    started && first ? `${duration(Date.parse(first) - Date.parse(started))} → 1` : "",
    usage ? w.tokens(usage.input_tokens, usage.output_tokens) : "",
    usage?.cost_usd != null ? money(usage.cost_usd) : "",
    read.cached.value ? w.cached : "",
    read.reason.value,
  ].filter(Boolean);
  return (
    <div class="details">
      <p>{facts.join(" · ")}</p>
      {read !== answer && read.steps.value.length > 0 && <Steps steps={read.steps.value} />}
      <a href={to(`jobs/${answer.jobId}`)}>{w.job}</a>
    </div>
  );
}
