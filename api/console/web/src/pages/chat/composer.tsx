/** Where one writes: text, files, and who answers. A draft is kept for each conversation until it is sent. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { sentence } from "../../api";
import { Icon, IconButton } from "../../parts/basics";
import { useDrop } from "../../parts/drop";
import { failed } from "../../parts/toasts";
import { recall, remember } from "../../storage";
import { words } from "../../words";
import type { Attachment, Choice } from "./conversation";
import { agents, chatModels, collections, readTargets } from "./targets";

/** Bytes of all files of a message. They travel in base64, in a body that by default may have 8 MiB. */
const MOST_BYTES = 6_000_000;

export type ComposerHandle = { write: (text: string) => void };
type ComposerProps = {
  handle: RefObject<ComposerHandle | null>;
  sessionId: string;
  busy: boolean;
  onAsk: (text: string, attachments: Attachment[], choice: Choice) => Promise<void>;
  onStop: () => void;
};

export function Composer({ handle, sessionId, busy, onAsk, onStop }: ComposerProps) {
  const w = words.value.chat;
  const draft = `draft.${sessionId || "new"}`;
  const [text, setText] = useState(recall(draft));
  const [attachments, setAttachments] = useState<Attachment[]>([]);
  const [choice, setChoice] = useChoice();
  const [error, setError] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => void readTargets(), []);
  const write = (written: string) => {
    setText(written);
    remember(draft, written);
  };
  handle.current = {
    write: (written) => {
      write(written);
      area.current?.focus();
    },
  };
  useEffect(() => fit(area.current), [text]);

  const attach = async (files: Iterable<File>) => {
    let bytes = attachments.reduce((sum, one) => sum + one.size, 0);
    for (const file of files) {
      if (bytes + file.size > MOST_BYTES) setError(w.tooLarge(file.name));
      else {
        bytes += file.size;
        const read = { name: file.name, data: await base64(file), size: file.size };
        setAttachments((old) => [...old, read]);
      }
    }
  };
  const { over, listeners } = useDrop((dropped) => void attach([...dropped.files]).catch(failed));
  const send = async () => {
    const asked = text.trim();
    if (!asked) return;
    const files = attachments;
    setError("");
    write("");
    setAttachments([]);
    try {
      await onAsk(asked, files, choice);
    } catch (problem) {
      setError(sentence(problem));
      setAttachments(files);
      setText((now) => now || asked);
      remember(draft, asked);
    }
  };
  const onKey = (event: KeyboardEvent) => {
    // While an input method composes (Vietnamese Telex does), Enter ends the word and must not send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    void send();
  };
  return (
    <form
      class={over ? "composer over" : "composer"}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
      {...listeners}
    >
      {over && <p class="hint">{w.dropFiles}</p>}
      {error && <p class="field-error" role="alert">{error}</p>}
      {attachments.length > 0 && (
        <div class="attached">
          {attachments.map((one, place) => (
            <span class="file-chip" key={place}>
              <Icon name="file" /> {one.name}
              <IconButton icon="close" label={w.removeFile(one.name)}
                onClick={() => setAttachments(attachments.filter((other) => other !== one))} />
            </span>
          ))}
        </div>
      )}
      <textarea ref={area} rows={1} aria-label={w.message} placeholder={w.placeholder} title={w.sendHint} value={text} dir="auto"
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={onKey}
        onPaste={(event) => {
          const files = event.clipboardData?.files;
          if (files?.length) attach(files).catch(failed);
        }} />
      <div class="composer-row">
        <FileButton onFiles={(files) => attach(files).catch(failed)} />
        <Targets choice={choice} onChange={setChoice} />
        {busy ? (
          <IconButton icon="stop" label={w.stop} class="send stop" onClick={onStop} />
        ) : null}
        <IconButton icon="send" label={w.send} class="send" type="submit" disabled={!text.trim()} />
      </div>
    </form>
  );
}

function FileButton({ onFiles }: { onFiles: (files: File[]) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <IconButton icon="clip" label={words.value.chat.attach} onClick={() => input.current?.click()} />
      <input ref={input} type="file" multiple hidden tabIndex={-1} aria-hidden="true"
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]); // a copy: the list is emptied below
          event.currentTarget.value = "";
        }} />
    </>
  );
}

/** What was chosen earlier is shown as chosen, although it is no longer on offer: else the choice would look empty. */
function withChosen(names: string[], chosen = ""): string[] {
  return chosen && !names.includes(chosen) ? [chosen, ...names] : names;
}

function Targets({ choice, onChange }: { choice: Choice; onChange: (choice: Choice) => void }) {
  const w = words.value.chat;
  return (
    <div class="targets">
      {agents.value.length > 0 && (
        <select aria-label={w.agent} value={choice.agent} onChange={(event) => onChange({ ...choice, agent: event.currentTarget.value })}>
          <option value="">{w.agentAuto}</option>
          {withChosen(agents.value.map((one) => one.name), choice.agent).map((name) => (
            <option key={name} value={name}>{name}</option>
          ))}
        </select>
      )}
      {chatModels.value.length > 0 && (
        <select aria-label={w.model} value={choice.model} onChange={(event) => onChange({ ...choice, model: event.currentTarget.value })}>
          <option value="">{w.modelAuto}</option>
          {withChosen(chatModels.value, choice.model).map((name) => (
            <option key={name} value={name}>{name}</option>
          ))}
        </select>
      )}
      {collections.value.length > 0 && (
        <select aria-label={w.collections} title={w.collectionsHint} value={choice.collections[0] ?? ""}
          onChange={(event) => onChange({ ...choice, collections: event.currentTarget.value ? [event.currentTarget.value] : [] })}>
          <option value="">{w.collections}: {words.value.none}</option>
          {withChosen(collections.value, choice.collections[0]).map((name) => (
            <option key={name} value={name}>{name}</option>
          ))}
        </select>
      )}
    </div>
  );
}

/** Who answers stays as it was chosen last. */
function useChoice(): [Choice, (choice: Choice) => void] {
  const [choice, setChoice] = useState<Choice>(() => {
    try {
      return { agent: "", model: "", collections: [], ...JSON.parse(recall("choice") || "{}") };
    } catch {
      return { agent: "", model: "", collections: [] };
    }
  });
  return [
    choice,
    (chosen) => {
      setChoice(chosen);
      remember("choice", JSON.stringify(chosen));
    },
  ];
}

function fit(area: HTMLTextAreaElement | null): void {
  if (!area) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1] ?? "");
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
