/** Where files are dropped. They go up in parts of a few, so that a folder of thousands is no single request. A part that meets a server
 * that is restarted or busy is sent again; what did not get there at all is kept, and sent again by a click.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, errorOf, OWN_HEADER, reach, sentence, signedOut } from "../../api";
import { ORIGIN } from "../../address";
import { useDrop } from "../../parts/drop";
import { failed } from "../../parts/toasts";
import { words } from "../../words";

const PART_FILES = 20;
const PART_BYTES = 40_000_000;

const SHOWN_REFUSALS = 20;
const PAUSES_S = [1, 2, 4, 8, 15, 30];

/** A file that was not taken, and why; with the file itself if the server has not seen it. */
type Refused = { name: string; message: string; file?: File };
type UploadProps = { collections: string[]; chosen: string; onUploaded: () => void };

export function Upload({ collections, chosen, onUploaded }: UploadProps) {
  const w = words.value.documents;
  const input = useRef<HTMLInputElement>(null);
  const [collection, setCollection] = useState("");
  const [progress, setProgress] = useState<{ done: number; total: number } | null>(null);
  const [refused, setRefused] = useState<Refused[]>([]);
  const into = collection || chosen || collections[0] || "default";
  const lost = refused.flatMap((one) => one.file ?? []);
  useLeavingAsks(progress !== null);
  const upload = async (files: File[]) => {
    setRefused([]);
    setProgress((old) => ({ done: old?.done ?? 0, total: (old?.total ?? 0) + files.length }));
    for (const part of partsOf(files)) {
      try {
        const found = await sendPatiently(part, into);
        setRefused((old) => [...old, ...found]);
      } catch (error) {
        setRefused((old) => [...old, ...part.map((file) => ({ name: file.name, message: sentence(error), file }))]);
      }
      setProgress((old) => old && { ...old, done: old.done + part.length });
    }
    setProgress((old) => (old && old.done < old.total ? old : null));
    onUploaded();
  };
  const { over, listeners } = useDrop((dropped) => void filesOf(dropped).then(upload).catch(failed));
  return (
    <div
      class={over ? "drop over" : "drop"}
      {...listeners}
    >
      <p>
        {w.drop} <button type="button" class="link" onClick={() => input.current?.click()}>{w.choose}</button>
      </p>
      <input ref={input} type="file" multiple hidden tabIndex={-1} aria-label={w.choose}
        onChange={(event) => {
          void upload([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }} />
      <label class="into">
        <span class="soft">{w.into}</span>
        <input list="collections" value={into} onInput={(event) => setCollection(event.currentTarget.value)} maxLength={64} />
        <datalist id="collections">{collections.map((name) => <option key={name} value={name} />)}</datalist>
      </label>
      {progress && (
        <p role="status">
          {w.uploading(progress.done, progress.total)} <progress aria-label={w.title} max={progress.total} value={progress.done} />
        </p>
      )}
      {refused.length > 0 && (
        <div class="note error" role="alert">
          <strong>{w.refused}</strong>
          <ul>{refused.slice(0, SHOWN_REFUSALS).map((one, place) => <li key={place}>{one.name}: {one.message}</li>)}</ul>
          {refused.length > SHOWN_REFUSALS && <p>{w.moreRefused(refused.length - SHOWN_REFUSALS)}</p>}
          {lost.length > 0 && !progress && (
            <button type="button" class="button" onClick={() => void upload(lost)}>{w.sendAgain(lost.length)}</button>
          )}
        </div>
      )}
    </div>
  );
}

function partsOf(files: File[]): File[][] {
  const parts: File[][] = [];
  let bytes = 0;
  for (const file of files) {
    const last = parts.at(-1);
    if (!last || last.length >= PART_FILES || bytes + file.size > PART_BYTES) {
      parts.push([file]);
      bytes = file.size;
    } else {
      last.push(file);
      bytes += file.size;
    }
  }
  return parts;
}

/** Has the browser ask before the page is left while files are under way. */
function useLeavingAsks(underWay: boolean): void {
  useEffect(() => {
    if (!underWay) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [underWay]);
}

/** Sends again, a few times, what met a server that is away or busy; who is signed out signs in first. */
async function sendPatiently(files: File[], collection: string): Promise<Refused[]> {
  for (const pause of PAUSES_S) {
    try {
      return await send(files, collection);
    } catch (error) {
      if (!(error instanceof ApiError) || !(error.status === 0 || error.status === 401 || error.status === 429 || error.status >= 500)) throw error;
      if (error.status === 401) signedOut.value = true;
      await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    }
  }
  return send(files, collection);
}

async function send(files: File[], collection: string): Promise<Refused[]> {
  const form = new FormData();
  form.set("collection", collection);
  for (const file of files) form.append("files", file, file.name);
  const response = await reach(`${ORIGIN}/api/documents`, { method: "POST", body: form, headers: OWN_HEADER });
  const body = await response.json().catch(() => undefined);
  if (body?.refused?.length) return body.refused.map((one: any) => ({ name: one.name, message: one.error?.message ?? one.message ?? one.code }));
  if (!response.ok) throw errorOf(response.status, body);
  return [];
}

/** The files that were dropped, with those in folders. */
async function filesOf(dropped: DataTransfer): Promise<File[]> {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry != null);
  if (!entries.length) return [...dropped.files];
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesIn(one)));
  }
}
