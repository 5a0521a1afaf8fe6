/** The command palette, and the list of keys. The palette finds pages, actions, agents and conversations by what is typed. */

import { useLocation } from "preact-iso";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { to } from "../address";
import { api, need } from "../api";
import { PAGES } from "../pages";
import { may, signOut } from "../session";
import { remember } from "../storage";
import { chooseTheme, theme, THEMES } from "../theme";
import { changeLanguage, language, words } from "../words";
import { Dialog } from "./dialog";
import { allowSingleKeys, COMMAND, openOver, over, type Over, singleKeys } from "./keys";
import { failed } from "./toasts";

type Entry = { id: string; kind: string; label: string; run: () => unknown };
const TYPING_PAUSE_MS = 150;
const FOUND_SESSIONS = 8;

export default function Palette({ shown }: { shown: Over }) {
  const close = () => void (over.value = null);
  return shown === "keys" ? <Keys onClose={close} /> : <Commands onClose={close} />;
}

function Commands({ onClose }: { onClose: () => void }) {
  const w = words.value.palette;
  const [typed, setTyped] = useState("");
  const [place, setPlace] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const entries = useEntries(typed);
  const found = useMemo(() => matching(entries, typed), [entries, typed]);
  const current = found[Math.min(place, found.length - 1)];
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [current?.id]);
  const run = (entry: Entry) => {
    onClose();
    entry.run();
  };
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setPlace((Math.min(place, found.length - 1) + step + found.length) % Math.max(1, found.length));
    } else if (event.key === "Enter" && !event.isComposing && event.keyCode !== 229 && current) {
      event.preventDefault();
      run(current);
    }
  };
  return (
    <Dialog title={w.title} onClose={onClose} class="palette">
      <input type="text" list={undefined} role="combobox" autocomplete="off" aria-expanded="true" aria-controls="palette-list" aria-autocomplete="list" autoFocus
        aria-activedescendant={current ? `palette-${current.id}` : undefined} aria-label={w.placeholder} placeholder={w.placeholder} value={typed}
        onKeyDown={onKey}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setPlace(0);
        }} />
      <ul id="palette-list" role="listbox" aria-label={w.title} class="palette-list" ref={list} tabIndex={-1}>
        {found.map((entry) => (
          <li key={entry.id} id={`palette-${entry.id}`} role="option" aria-selected={entry === current} onClick={() => run(entry)}>
            <span>{entry.label}</span>
            <span class="soft">{entry.kind}</span>
          </li>
        ))}
      </ul>
      {!found.length && <p class="hint" role="status">{w.nothing}</p>}
    </Dialog>
  );
}

/** All that can be chosen. Agents and conversations come when they have been read. */
function useEntries(typed: string): Entry[] {
  const w = words.value;
  const { route } = useLocation();
  const [agents, setAgents] = useState<string[]>([]);
  const [sessions, setSessions] = useState<{ id: string; title: string }[]>([]);
  useEffect(() => {
    if (may("agents.read")) need(api.GET("/api/agents")).then(({ items }) => setAgents(items.map((one) => one.name)), () => undefined);
  }, []);
  useEffect(() => {
    if (!may("sessions.read")) return;
    const query = { limit: FOUND_SESSIONS, ...(typed.trim() ? { search: typed.trim() } : {}) };
    const timer = setTimeout(() => {
      need(api.GET("/api/sessions", { params: { query } })).then(({ items }) => setSessions(items), () => undefined);
    }, typed ? TYPING_PAUSE_MS : 0);
    return () => clearTimeout(timer);
  }, [typed]);
  return useMemo(() => {
    const pages = PAGES.filter((page) => may(page.right)).map(({ name }) => ({
      id: `page-${name}`, kind: w.palette.page, label: w.nav[name], run: () => route(to(name)),
    }));
    const asked = agents.map((name, index) => ({
      id: `agent-${index}`, kind: w.chat.agent, label: name,
      run: () => {
        remember("choice", JSON.stringify({ agent: name, model: "", collections: [] }));
        route(to("chat"));
      },
    }));
    const talks = sessions.map(({ id, title }) => ({
      id: `session-${id}`, kind: w.palette.conversation, label: title || w.chat.untitled, run: () => route(to(`chat/${id}`)),
    }));
    return [...actions(route), ...pages, ...asked, ...talks];
  }, [agents, sessions, w]);
}

function actions(route: (url: string) => void): Entry[] {
  const w = words.value;
  const other = language.value === "vi" ? "en" : "vi";
  const themes = THEMES.filter((one) => one !== theme.value).map((one) => ({
    id: `theme-${one}`, kind: w.palette.action, label: `${w.account.theme}: ${w.account.themes[one]}`, run: () => chooseTheme(one),
  }));
  const action = (id: string, label: string, run: () => unknown) => ({ id, kind: w.palette.action, label, run });
  return [
    ...(may("chat") ? [action("new", w.chat.newChat, () => route(to("chat")))] : []),
    action("keys", w.palette.keys, () => openOver("keys")),
    ...themes,
    action("language", other === "vi" ? "Tiếng Việt" : "English", () => changeLanguage(other).catch(failed)),
    action("out", w.account.out, () => signOut().catch(failed)),
  ];
}

/** Entries that have every word that was typed, whatever its case and accents; conversations were found by what was said in them. */
function matching(entries: Entry[], typed: string): Entry[] {
  const wanted = plain(typed).split(/\s+/).filter(Boolean);
  return entries.filter(({ id, label, kind }) => id.startsWith("session-") || wanted.every((word) => plain(`${label} ${kind}`).includes(word)));
}

function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/gi, "d").toLowerCase();
}

function Keys({ onClose }: { onClose: () => void }) {
  const w = words.value.palette;
  const single: [string, string][] = [["?", w.keys], ["/", w.toSearch], ["n", words.value.chat.newChat], ["j k", w.rows]];
  const always: [string, string][] = [[`${COMMAND} K`, w.title], ["Esc", w.escape], ["Enter", w.send], ["Shift Enter", w.line]];
  return (
    <Dialog title={w.keys} onClose={onClose}>
      <dl class="keys">
        {[...always, ...(singleKeys.value ? single : [])].map(([keys, what]) => (
          <div key={keys}>
            <dt>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={singleKeys.value} onChange={(event) => allowSingleKeys(event.currentTarget.checked)} />
        {w.single}
      </label>
    </Dialog>
  );
}
