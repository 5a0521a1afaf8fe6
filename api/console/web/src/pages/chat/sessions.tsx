/** The list of conversations: search, rename, pin, export, delete. */

import { useLocation } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { download, to } from "../../address";
import { api, need, readOn, type Schemas } from "../../api";
import { ErrorNote, Field, Icon } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { Menu } from "../../parts/menu";
import { failed } from "../../parts/toasts";
import { words } from "../../words";
import { leave, sessionsChanged } from "./conversation";
import { Share } from "./share";

type Session = Schemas["SessionOut"];
const PAGE = 30;
const TYPING_PAUSE_MS = 200;

export function Sessions({ current, onBegin }: { current: string; onBegin: () => void }) {
  const w = words.value.chat;
  const [search, setSearch] = useState("");
  const [items, setItems] = useState<Session[]>();
  const [pinned, setPinned] = useState<Session[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<unknown>();
  const changed = sessionsChanged.value;
  const read = async (after?: string) => {
    const page = await readOn((cursor) => {
      const query = { limit: PAGE, ...(search ? { search } : {}), ...(cursor ? { cursor } : {}) };
      return need(api.GET("/api/sessions", { params: { query } }));
    }, after);
    setItems((old) => (after ? [...(old ?? []), ...page.items] : page.items));
    setCursor(page.next_cursor);
    setError(undefined);
  };
  useEffect(() => {
    if (search) return setPinned([]);
    need(api.GET("/api/sessions", { params: { query: { pinned: true, limit: 100 } } })).then((page) => setPinned(page.items), failed);
  }, [search, changed]);
  useEffect(() => {
    const timer = setTimeout(() => read().catch(setError), search ? TYPING_PAUSE_MS : 0);
    return () => clearTimeout(timer);
  }, [search, changed]);
  return (
    <section class="sessions" aria-label={w.conversations}>
      <button type="button" class="button new-chat" onClick={onBegin}>
        <Icon name="plus" /> {w.newChat}
      </button>
      <input type="search" aria-label={w.searchConversations} placeholder={w.searchConversations} value={search}
        onInput={(event) => setSearch(event.currentTarget.value)} />
      {error !== undefined && <ErrorNote error={error} retry={() => read().catch(setError)} />}
      {items?.length === 0 && <p class="hint">{search ? w.noMatch : w.noConversations}</p>}
      {pinned.length > 0 && (
        <>
          <h2 class="list-name">{w.pinned}</h2>
          <ul class="pinned">{pinned.map((item) => <SessionRow key={item.id} session={item} isCurrent={item.id === current} />)}</ul>
        </>
      )}
      <ul>
        {items?.filter((item) => search || !item.pinned_at).map((item) => (
          <SessionRow key={item.id} session={item} isCurrent={item.id === current} />
        ))}
      </ul>
      {cursor && (
        <button type="button" class="link" onClick={() => read(cursor).catch(failed)}>
          {words.value.more}
        </button>
      )}
    </section>
  );
}

function SessionRow({ session, isCurrent }: { session: Session; isCurrent: boolean }) {
  const w = words.value.chat;
  const { route } = useLocation();
  const [renaming, setRenaming] = useState(false);
  const [sharing, setSharing] = useState(false);
  const title = session.title || w.untitled;
  const path = { params: { path: { session_id: session.id } } };
  const change = async (body: Schemas["SessionChangeIn"]) => {
    await need(api.PATCH("/api/sessions/{session_id}", { ...path, body }));
    sessionsChanged.value += 1;
  };
  const remove = async () => {
    if (!(await confirmed(words.value.confirmRemove(title), words.value.remove))) return;
    await need(api.DELETE("/api/sessions/{session_id}", path));
    sessionsChanged.value += 1;
    if (!isCurrent) return;
    leave();
    route(to("chat"), true);
  };
  const exported = (format: string) => download(`/api/sessions/${session.id}/export?format=${format}`);
  return (
    <li class={isCurrent ? "session current" : "session"}>
      <a href={to(`chat/${session.id}`)} aria-current={isCurrent ? "page" : undefined} title={title}>
        {title}
        {session.shared_at && <span class="visually-hidden">, {w.isShared}</span>}
      </a>
      {session.shared_at && <Icon name="link" />}
      <Menu label={w.actions(title)}>
        <button type="button" onClick={() => setRenaming(true)}>{w.rename}</button>
        <button type="button" onClick={() => change({ pinned: !session.pinned_at }).catch(failed)}>{session.pinned_at ? w.unpin : w.pin}</button>
        <button type="button" onClick={() => setSharing(true)}>{w.share}</button>
        <a href={exported("markdown")} download>{w.exportMarkdown}</a>
        <a href={exported("json")} download>{w.exportJson}</a>
        <button type="button" class="danger" onClick={() => remove().catch(failed)}>{words.value.remove}</button>
      </Menu>
      {sharing && <Share session={session} onChange={(shared) => change({ shared })} onClose={() => setSharing(false)} />}
      {renaming && (
        <Rename title={session.title} onClose={() => setRenaming(false)} onSave={(name) => change({ title: name })} />
      )}
    </li>
  );
}

function Rename({ title, onClose, onSave }: { title: string; onClose: () => void; onSave: (title: string) => Promise<void> }) {
  const [name, setName] = useState(title);
  const [error, setError] = useState<unknown>();
  const save = (event: Event) => {
    event.preventDefault();
    onSave(name).then(onClose, setError);
  };
  return (
    <Dialog title={words.value.chat.renameTitle} onClose={onClose}>
      <form onSubmit={save}>
        <Field label={words.value.name}>
          {(id) => (
            <input id={id} required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          )}
        </Field>
        {error !== undefined && <ErrorNote error={error} />}
        <div class="dialog-actions">
          <button type="submit" class="button primary">{words.value.save}</button>
        </div>
      </form>
    </Dialog>
  );
}
