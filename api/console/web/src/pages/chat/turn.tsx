/** A question and its answer. */

import { useState } from "preact/hooks";
import { Icon, IconButton } from "../../parts/basics";
import { words } from "../../words";
import { AnswerView } from "./answer-view";
import { type Choice, type Part, textOf, type Turn } from "./conversation";

type TurnProps = {
  turn: Turn;
  isLast: boolean;
  onAskAgain: (text: string, choice: Partial<Choice>) => void;
  onBranch: (messageId: string) => void;
};

export function TurnView({ turn, isLast, onAskAgain, onBranch }: TurnProps) {
  const w = words.value.chat;
  const [editing, setEditing] = useState(false);
  const text = textOf(turn.question);
  return (
    <article class={isLast ? "turn last" : "turn"}>
      <div class="question">
        <h2 class="visually-hidden">{w.you}</h2>
        {editing ? (
          <EditQuestion
            text={text}
            onCancel={() => setEditing(false)}
            onAsk={(changed) => {
              setEditing(false);
              onAskAgain(changed, {});
            }}
          />
        ) : (
          <>
            <Question parts={turn.question} />
            {text && <IconButton icon="edit" label={w.edit} class="quiet" onClick={() => setEditing(true)} />}
          </>
        )}
      </div>
      <AnswerView
        answer={turn.answer}
        onAgain={(model) => onAskAgain(text, model ? { model } : {})}
        onBranch={onBranch}
      />
    </article>
  );
}

export function Question({ parts }: { parts: Part[] }) {
  return (
    <div class="question-text">
      {textOf(parts)}
      <Attached parts={parts} />
    </div>
  );
}

function Attached({ parts }: { parts: Part[] }) {
  const files = parts.filter((part) => part.type !== "text");
  if (!files.length) return null;
  return (
    <span class="attached">
      {files.map((part, place) => (
        <span class="file-chip" key={place}>
          <Icon name="file" /> {String(part.name ?? words.value.chat.image)}
        </span>
      ))}
    </span>
  );
}

function EditQuestion({ text, onAsk, onCancel }: { text: string; onAsk: (text: string) => void; onCancel: () => void }) {
  const w = words.value.chat;
  const [changed, setChanged] = useState(text);
  return (
    <form
      class="edit-question"
      onSubmit={(event) => {
        event.preventDefault();
        if (changed.trim()) onAsk(changed.trim());
      }}
      onKeyDown={(event) => event.key === "Escape" && onCancel()}
    >
      <textarea aria-label={w.edit} rows={Math.min(12, changed.split("\n").length + 1)} value={changed}
        ref={(area) => area?.focus()} onInput={(event) => setChanged(event.currentTarget.value)} />
      <p class="hint">{w.editHint}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onCancel}>{words.value.cancel}</button>
        <button type="submit" class="button primary">{w.askAgain}</button>
      </div>
    </form>
  );
}
