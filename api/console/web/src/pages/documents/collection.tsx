/** The settings of a collection: how its documents are cut, and what embeds them. A change of the embedder is followed to its end. */

import { useEffect, useRef } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { count } from "../../format";
import { ErrorNote } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { type FormField, FormPanel, type Values } from "../../parts/form";
import { useLoad } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { words } from "../../words";

type Collection = Schemas["CollectionOut"];
type SettingsProps = { name: string; embedders: string[] };
const LOOK_EVERY_MS = 1_500;

export function CollectionSettings({ name, embedders }: SettingsProps) {
  const w = words.value.collection;
  const path = { params: { path: { name } } };
  const { data, error, reload } = useLoad(() => need(api.GET("/api/collections/{name}", path)), [name]);
  const wanted = useRef("");
  useChange(data, wanted, reload);
  const again = async () => {
    if (!data || !(await confirmed(w.againSure(count(data.documents)), w.again))) return;
    await need(api.POST("/api/collections/{name}/reingest", path));
    told(w.started);
  };
  const save = async (values: Values) => {
    const chunking = { characters: Number(values.characters), overlap: Number(values.overlap) };
    if (values.embedder !== data?.embedder) wanted.current = values.embedder ?? "";
    const body = { description: values.description ?? "", chunking, ...(values.embedder === data?.embedder ? {} : { embedder: values.embedder }) };
    await need(api.PATCH("/api/collections/{name}", { ...path, body: body as Schemas["CollectionChangeIn"] }));
    told(words.value.saved);
    reload();
  };
  const keep = async () => {
    wanted.current = "";
    await need(api.PATCH("/api/collections/{name}", { ...path, body: { embedder: data?.embedder } as Schemas["CollectionChangeIn"] }));
    reload();
  };
  if (error !== undefined) return <ErrorNote error={error} retry={reload} />;
  if (!data) return null;
  return (
    <details class="fold settings" open={data.reembedding !== null}>
      <summary>{w.settings(name)}</summary>
      <div>
        {data.reembedding && <Progress change={data.reembedding} onKeep={() => void keep().catch(failed)} />}
        <FormPanel key={`${data.updated_at} ${data.embedder}`} fields={fields(data, embedders)} values={valuesOf(data)} button={words.value.save} onSend={save} />
        {data.documents > 0 && <button type="button" class="button" onClick={() => void again().catch(failed)}>{w.again}</button>}
      </div>
    </details>
  );
}

/** Looks again while the embedder changes, and says when it has. */
function useChange(data: Collection | undefined, wanted: { current: string }, reload: () => void): void {
  useEffect(() => {
    if (data && data.embedder === wanted.current) {
      wanted.current = "";
      told(words.value.collection.changed(data.embedder));
    }
    if (!data?.reembedding) return;
    const timer = setTimeout(reload, LOOK_EVERY_MS);
    return () => clearTimeout(timer);
  }, [data]);
}

function Progress({ change, onKeep }: { change: NonNullable<Collection["reembedding"]>; onKeep: () => void }) {
  const w = words.value.collection;
  const text = w.changing(change.embedder, count(change.done), count(change.total));
  return (
    <div class="changing">
      <p role="status">{text}</p>
      <progress aria-label={text} max={Math.max(change.total, 1)} value={change.done} />
      <button type="button" class="link" onClick={onKeep}>{w.keep}</button>
    </div>
  );
}

function fields(data: Collection, embedders: string[]): FormField[] {
  const w = words.value.collection;
  const offered = [...new Set([data.embedder, ...embedders])];
  return [
    { name: "description", label: w.description },
    { name: "embedder", label: w.embedder, kind: "choice", options: offered.map((name) => [name, name]), hint: w.embedderHint },
    { name: "characters", label: w.characters, kind: "number", required: true, hint: w.chunkingHint },
    { name: "overlap", label: w.overlap, kind: "number", required: true },
  ];
}

function valuesOf({ description, embedder, chunking }: Collection): Values {
  return { description, embedder, characters: String(chunking.characters), overlap: String(chunking.overlap) };
}
