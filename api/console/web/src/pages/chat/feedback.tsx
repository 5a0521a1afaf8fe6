/** Whether an answer was good; of a bad one also why, and which agent should have answered. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { ErrorNote, Field, IconButton } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { failed, told } from "../../parts/toasts";
import { words } from "../../words";
import { agents } from "./targets";

export function Feedback({ messageId }: { messageId: string }) {
  const w = words.value.chat;
  const [rated, setRated] = useState<"up" | "down" | null>(null);
  const [asking, setAsking] = useState(false);
  const send = async (body: Schemas["FeedbackIn"]) => {
    await need(api.PUT("/api/messages/{message_id}/feedback", { params: { path: { message_id: messageId } }, body }));
    setRated(body.rating);
    told(w.thanks);
  };
  return (
    <>
      <IconButton icon="up" label={w.good} aria-pressed={rated === "up"} onClick={() => send({ rating: "up" }).catch(failed)} />
      <IconButton icon="down" label={w.bad} aria-pressed={rated === "down"} onClick={() => setAsking(true)} />
      {asking && <Why onClose={() => setAsking(false)} onSend={send} />}
    </>
  );
}

function Why({ onClose, onSend }: { onClose: () => void; onSend: (body: Schemas["FeedbackIn"]) => Promise<void> }) {
  const w = words.value.chat;
  const [comment, setComment] = useState("");
  const [agent, setAgent] = useState("");
  const [error, setError] = useState<unknown>();
  const submit = (event: Event) => {
    event.preventDefault();
    onSend({ rating: "down", ...(comment ? { comment } : {}), ...(agent ? { agent } : {}) }).then(onClose, setError);
  };
  return (
    <Dialog title={w.feedbackTitle} onClose={onClose}>
      <form onSubmit={submit}>
        <Field label={w.feedbackComment}>
          {(id) => (
            <textarea id={id} rows={3} maxLength={2000} value={comment} onInput={(event) => setComment(event.currentTarget.value)} />
          )}
        </Field>
        {agents.value.length > 0 && (
          <Field label={w.feedbackAgent}>
            {(id) => (
              <select id={id} value={agent} onChange={(event) => setAgent(event.currentTarget.value)}>
                <option value="">–</option>
                {agents.value.map((one) => (
                  <option key={one.name} value={one.name}>{one.name}</option>
                ))}
              </select>
            )}
          </Field>
        )}
        {error !== undefined && <ErrorNote error={error} />}
        <div class="dialog-actions">
          <button type="submit" class="button primary">{w.feedbackSend}</button>
        </div>
      </form>
    </Dialog>
  );
}
