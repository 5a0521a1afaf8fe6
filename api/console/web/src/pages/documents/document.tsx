/** One document: its passages as they were cut. A link with `find` shows the passage that an answer cites. */

import { useLocation, useRoute } from "preact-iso";
import { useEffect, useRef } from "preact/hooks";
import { download, to } from "../../address";
import { api, need } from "../../api";
import { size } from "../../format";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { words } from "../../words";

const MOST_PAGES = 40;

export default function DocumentPage() {
  const w = words.value.documents;
  const id = useRoute().params.document ?? "";
  const { url } = useLocation();
  const find = new URLSearchParams(url.split("?")[1] ?? "").get("find") ?? "";
  const path = { document_id: id };
  const { data: one, error, reload } = useLoad(() => need(api.GET("/api/documents/{document_id}", { params: { path } })), [id]);
  const chunks = useLoad(() => readChunks(id), [id]);
  const found = useRef<HTMLLIElement>(null);
  useEffect(() => found.current?.scrollIntoView({ block: "center" }), [chunks.data, find]);
  const wanted = squeezed(find);
  const place = wanted ? (chunks.data ?? []).findIndex((chunk) => squeezed(chunk.text).includes(wanted)) : -1;
  return (
    <div class="page">
      <p><a href={to("documents")}>{w.back}</a></p>
      <PageTitle text={one ? one.title || one.name : w.title}>
        {one && <a class="button" href={download(`/api/documents/${id}/content`)} download={one.name}>{w.download}</a>}
      </PageTitle>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!one && error === undefined && <Loading />}
      {one && (
        <dl class="facts">
          <dt>{words.value.jobs.state}</dt>
          <dd><Badge state={one.state} label={w.states[one.state] ?? one.state} /> {one.error && <span>{one.error.message}</span>}</dd>
          <dt>{w.collection}</dt><dd>{one.collection}</dd>
          <dt>{w.size}</dt><dd>{size(one.size_bytes)} · {one.media_type}</dd>
          {one.pages !== null && (<><dt>{w.pages}</dt><dd>{one.pages}</dd></>)}
          <dt>{w.version}</dt><dd>{one.version}</dd>
          <dt>{w.changed}</dt><dd><Ago at={one.updated_at} /></dd>
          {one.notes.length > 0 && (<><dt>{w.notes}</dt><dd>{one.notes.join(" ")}</dd></>)}
        </dl>
      )}
      {chunks.error !== undefined && <ErrorNote error={chunks.error} retry={chunks.reload} />}
      {chunks.data && chunks.data.length > 0 && (
        <section>
          <h2>{w.passagesTitle}</h2>
          <ol class="passages">
            {chunks.data.map((chunk, number) => (
              <li key={chunk.place} ref={number === place ? found : undefined} class={number === place ? "found" : ""}>
                <p class="soft">
                  {[`${chunk.place + 1}`, chunk.heading, chunk.page ? words.value.chat.page(chunk.page) : ""].filter(Boolean).join(" · ")}
                </p>
                <p class="passage-text" lang={one?.language ?? undefined}>{chunk.text}</p>
              </li>
            ))}
          </ol>
        </section>
      )}
    </div>
  );
}

async function readChunks(document_id: string) {
  const found = [];
  let cursor: string | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const params = { path: { document_id }, query: { limit: 100, ...(cursor ? { cursor } : {}) } };
    const read = await need(api.GET("/api/documents/{document_id}/chunks", { params }));
    found.push(...read.items);
    if (!read.next_cursor) break;
    cursor = read.next_cursor;
  }
  return found;
}

function squeezed(text: string): string {
  return text.normalize("NFC").replace(/\s+/g, " ").trim();
}
