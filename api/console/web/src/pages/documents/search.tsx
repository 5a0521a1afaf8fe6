/** Search in documents, with the scores: why a passage is found. */

import { useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { ErrorNote } from "../../parts/basics";
import { words } from "../../words";

export function PassageSearch({ collection }: { collection: string }) {
  const w = words.value.documents;
  const [query, setQuery] = useState("");
  const [found, setFound] = useState<Schemas["PassageOut"][]>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const search = (event: Event) => {
    event.preventDefault();
    if (!query.trim()) return setFound(undefined);
    setBusy(true);
    setError(undefined);
    need(api.POST("/api/search", { body: { query, ...(collection ? { collections: [collection] } : {}) } as any }))
      .then((answer) => setFound(answer.passages), setError)
      .finally(() => setBusy(false));
  };
  return (
    <section class="passage-search">
      <form role="search" onSubmit={search}>
        <input type="search" aria-label={w.searchTitle} placeholder={w.searchPlaceholder} value={query}
          onInput={(event) => setQuery(event.currentTarget.value)} />
        <button type="submit" class="button" disabled={busy}>{w.searchButton}</button>
      </form>
      {error !== undefined && <ErrorNote error={error} />}
      {found?.length === 0 && <p class="hint" role="status">{w.nothing}</p>}
      {found && found.length > 0 && (
        <ol class="passages">
          {found.map((one: any) => (
            <li key={one.chunk_id}>
              <p class="passage-head">
                <a href={to(`documents/${one.document_id}`, { find: one.text.trim().slice(0, 60) })}>{one.title || one.document}</a>
                {one.page !== null && <span class="soft">, {words.value.chat.page(one.page)}</span>}
                {one.heading && <span class="soft"> · {one.heading}</span>}
              </p>
              <p class="soft">
                {w.score} {one.score?.toFixed(3)} · {w.ranks(rank(one.ranks?.vector), rank(one.ranks?.text))}
              </p>
              <p class="passage-text">{one.text}</p>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function rank(place: number | null | undefined): string {
  return place ? `#${place}` : words.value.documents.unranked;
}
