/** Documents: drop them, see how they become searchable, and search. */

import { useLocation } from "preact-iso";
import { useCallback, useEffect, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { count, size } from "../../format";
import { type Changes, useChanges } from "../../live";
import { Ago, Badge, Empty, ErrorNote, IconButton, Loading, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";
import { Live } from "../jobs/page";
import { CollectionSettings } from "./collection";
import { PassageSearch } from "./search";
import { Upload } from "./upload";

type Document = Schemas["DocumentOut"];
const PAGE = 50;
const STATES = ["queued", "running", "ready", "failed"];

export default function DocumentsPage() {
  const w = words.value.documents;
  const { url, route } = useLocation();
  const query = new URLSearchParams(url.split("?")[1] ?? "");
  const filters = { collection: query.get("collection") ?? "", state: query.getAll("state"), search: query.get("search") ?? "" };
  const change = (changed: Partial<typeof filters>) => route(to("documents", { ...filters, ...changed }), true);
  const list = useDocuments(filters, url);
  const [known, setKnown] = useState<{ names: string[]; embedders: string[] }>({ names: [], embedders: [] });
  const collections = known.names;
  const readCollections = () =>
    need(api.GET("/api/collections", { params: { query: { limit: 100 } } })).then(
      ({ items, embedders }) => setKnown({ names: items.map((one) => one.name), embedders }),
      failed,
    );
  useEffect(() => void readCollections(), []);
  const filtered = filters.collection || filters.search || filters.state.length;
  const retryFailed = async () => {
    const body = { states: ["failed" as const], ...(filters.collection ? { collection: filters.collection } : {}) };
    let retried = 0;
    for (let more = true; more; ) {
      const done = await need(api.POST("/api/documents/retry", { body }));
      retried += done.documents;
      more = done.more;
    }
    told(words.value.jobs.retried(retried));
    list.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><Live connected={list.connected} /></PageTitle>
      {may("documents.write") && (
        <Upload collections={collections} chosen={filters.collection} onUploaded={() => { list.reload(); void readCollections(); }} />
      )}
      <PassageSearch collection={filters.collection} />
      <div class="filters">
        <div class="chips" role="group" aria-label={words.value.jobs.state}>
          {STATES.map((state) => (
            <button type="button" class="chip" key={state} aria-pressed={filters.state.includes(state)}
              onClick={() => change({ state: filters.state.includes(state) ? filters.state.filter((one) => one !== state) : [...filters.state, state] })}>
              {w.states[state]}
            </button>
          ))}
        </div>
        <select aria-label={w.collection} value={filters.collection} onChange={(event) => change({ collection: event.currentTarget.value })}>
          <option value="">{w.allCollections}</option>
          {collections.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
        <input type="search" aria-label={w.filter} placeholder={w.filter} value={filters.search}
          onChange={(event) => change({ search: event.currentTarget.value })} />
        {list.documents?.some((one) => one.state === "failed") && may("documents.write") && (
          <button type="button" class="button" onClick={() => retryFailed().catch(failed)}>{w.retryFailed}</button>
        )}
      </div>
      {filters.collection && collections.includes(filters.collection) && may("documents.manage") && (
        <CollectionSettings key={filters.collection} name={filters.collection} embedders={known.embedders} />
      )}
      {list.error !== undefined && <ErrorNote error={list.error} retry={list.reload} />}
      {!list.documents && list.error === undefined && <Loading />}
      {list.documents?.length === 0 && (
        <Empty>
          <p>{filtered ? w.noMatch : w.empty}</p>
          {filtered ? <a class="button" href={to("documents")}>{words.value.jobs.clear}</a> : null}
        </Empty>
      )}
      {list.documents && list.documents.length > 0 && <DocumentTable documents={list.documents} onRemoved={list.reload} />}
      {list.cursor && <button type="button" class="button" onClick={list.more}>{words.value.more}</button>}
    </div>
  );
}

function useDocuments(filters: { collection: string; state: string[]; search: string }, url: string) {
  const [documents, setDocuments] = useState<Document[]>();
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<unknown>();
  const read = useCallback(
    async (after?: string) => {
      const set = Object.fromEntries(Object.entries(filters).filter(([, value]) => value.length > 0));
      const query = { ...set, limit: PAGE, ...(after ? { cursor: after } : {}) };
      const page = await need(api.GET("/api/documents", { params: { query: query as any } }));
      setDocuments((old) => (after ? [...(old ?? []), ...page.items] : page.items));
      setCursor(page.next_cursor);
      setError(undefined);
    },
    [url],
  );
  const reload = useCallback(() => void read().catch(setError), [read]);
  useEffect(reload, [reload]);
  const onChanges = useCallback(
    (changes: Changes) => {
      if (changes.reload.includes("documents")) return reload();
      const byId = new Map<string, Document>(changes.documents.map((one) => [one.id, one]));
      const gone = new Set(changes.deleted.documents);
      setDocuments((old) => old?.filter((one) => !gone.has(one.id)).map((one) => byId.get(one.id) ?? one));
    },
    [reload],
  );
  const connected = useChanges(onChanges, reload);
  return { documents, cursor, error, connected, reload, more: () => void read(cursor ?? undefined).catch(failed) };
}

function DocumentTable({ documents, onRemoved }: { documents: Document[]; onRemoved: () => void }) {
  const w = words.value.documents;
  const remove = async (one: Document) => {
    if (!(await confirmed(words.value.confirmRemove(one.name), words.value.remove))) return;
    await need(api.DELETE("/api/documents/{document_id}", { params: { path: { document_id: one.id } } }));
    onRemoved();
  };
  return (
    <table class="rows">
      <thead>
        <tr><th>{words.value.jobs.state}</th><th>{words.value.name}</th><th>{w.collection}</th><th>{w.size}</th><th>{w.changed}</th><th><span class="visually-hidden">{words.value.remove}</span></th></tr>
      </thead>
      <tbody>
        {documents.map((one) => (
          <tr key={one.id}>
            <td><Badge state={one.state} label={w.states[one.state] ?? one.state} /></td>
            <td class="wide">
              <a href={to(`documents/${one.id}`)}>{one.title || one.name}</a>
              <Standing document={one} />
            </td>
            <td>{one.collection}</td>
            <td>{size(one.size_bytes)}</td>
            <td><Ago at={one.updated_at} /></td>
            <td>{may("documents.write") && <IconButton icon="trash" label={`${words.value.remove}: ${one.name}`} onClick={() => remove(one).catch(failed)} />}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** How far it is, how much it has, or why it failed. */
function Standing({ document: one }: { document: Document }) {
  const w = words.value.documents;
  if (one.error) return <p class="field-error">{one.error.message}</p>;
  if (one.state === "running") {
    const { done, total } = one.progress;
    return <progress aria-label={one.name} max={total ?? undefined} value={total ? done : undefined} title={`${count(done)}/${total ?? "?"}`} />;
  }
  return one.chunks ? <span class="soft"> · {w.passages(one.chunks)}</span> : null;
}
