/** Where files are dropped. They go up in parts of a few, so that a folder of thousands is no single request. */

import { useRef, useState } from "preact/hooks";
import { errorOf, OWN_HEADER, sentence } from "../../api";
import { ORIGIN } from "../../address";
import { useDrop } from "../../parts/drop";
import { words } from "../../words";

const PART_FILES = 20;
const PART_BYTES = 40_000_000;

type Refused = { name: string; message: string };
type UploadProps = { collections: string[]; chosen: string; onUploaded: () => void };

export function Upload({ collections, chosen, onUploaded }: UploadProps) {
  const w = words.value.documents;
  const input = useRef<HTMLInputElement>(null);
  const [collection, setCollection] = useState("");
  const [progress, setProgress] = useState<{ done: number; total: number } | null>(null);
  const [refused, setRefused] = useState<Refused[]>([]);
  const into = collection || chosen || collections[0] || "default";
  const upload = async (files: File[]) => {
    setRefused([]);
    setProgress({ done: 0, total: files.length });
    for (const part of partsOf(files)) {
      try {
        const found = await send(part, into);
        setRefused((old) => [...old, ...found]);
      } catch (error) {
        setRefused((old) => [...old, ...part.map((file) => ({ name: file.name, message: sentence(error) }))]);
      }
      setProgress((old) => old && { ...old, done: old.done + part.length });
    }
    setProgress(null);
    onUploaded();
  };
  const { over, listeners } = useDrop((dropped) => void filesOf(dropped).then(upload));
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
          <ul>{refused.map((one, place) => <li key={place}>{one.name}: {one.message}</li>)}</ul>
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

async function send(files: File[], collection: string): Promise<Refused[]> {
  const form = new FormData();
  form.set("collection", collection);
  for (const file of files) form.append("files", file, file.name);
  const response = await fetch(`${ORIGIN}/api/documents`, { method: "POST", body: form, headers: OWN_HEADER });
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
