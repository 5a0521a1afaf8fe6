/** What an agent was after each of its last changes: seen, compared with now, and gone back to. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { Ago } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";
import { linesBetween } from "./diff";
import { type Agent, differing, type Fields } from "./form";

type Version = Schemas["AgentVersionOut"];
type VersionsProps = { agent: Agent; onRestored: () => void };

export function Versions({ agent, onRestored }: VersionsProps) {
  const w = words.value.agentPage;
  const path = { params: { path: { name: agent.name } } };
  const pages = usePages(() => need(api.GET("/api/admin/agents/{name}/versions", path)) as Promise<{ items: Version[]; next_cursor: null }>, [agent.name]);
  const people = useLoad(readPeople, []);
  const [shown, setShown] = useState<Version | null>(null);
  const restore = async (version: number) => {
    await need(api.POST("/api/admin/agents/{name}/restore", { ...path, body: { version } }));
    setShown(null);
    told(w.restored(version));
    onRestored();
  };
  const changed = (one: Version) => {
    const before = pages.items?.find((other) => other.version === one.version - 1);
    if (!before) return one.version === 1 ? w.made : "–";
    return differing(definitionOf(one), definitionOf(before)).map((name) => w.fields[name] ?? name).join(", ");
  };
  return (
    <section>
      <h2>{w.versions}</h2>
      <List pages={pages} empty="" heads={[w.versions, words.value.audit.at, words.value.audit.who, w.what, ""]}
        row={(one) => (
          <tr key={one.version}>
            <td>{w.version(one.version)}{one === pages.items?.[0] && <span class="soft"> · {w.current}</span>}</td>
            <td><Ago at={one.created_at} /></td>
            <td class="wide">{people.data?.get(one.created_by ?? "") ?? one.created_by ?? "–"}</td>
            <td class="wide">{changed(one)}</td>
            <td><button type="button" class="link" aria-label={`${w.compare}: ${w.version(one.version)}`} onClick={() => setShown(one)}>{w.compare}</button></td>
          </tr>
        )} />
      {shown && <Compared agent={agent} version={shown} onClose={() => setShown(null)} onRestore={() => restore(shown.version).catch(failed)} />}
    </section>
  );
}

type ComparedProps = { agent: Agent; version: Version; onClose: () => void; onRestore: () => void };

function Compared({ agent, version, onClose, onRestore }: ComparedProps) {
  const w = words.value.agentPage;
  const then = definitionOf(version);
  const names = differing(then, agent);
  return (
    <Dialog wide title={`${agent.name}: ${w.version(version.version)}`} onClose={onClose}>
      {names.length === 0 && <p>{w.same}</p>}
      {names.map((name) => (
        <section key={name} class="compared">
          <h3>{w.fields[name] ?? name}</h3>
          <p class="legend"><del>{w.then}</del> <ins>{w.nowHead}</ins></p>
          <div class="diff mono" tabIndex={0}>
            {linesBetween(textOf(then[name]), textOf(agent[name])).map(([sign, text], place) => {
              const Kind = sign === "-" ? "del" : sign === "+" ? "ins" : "span";
              return <Kind key={place}>{sign} {text}</Kind>;
            })}
          </div>
        </section>
      ))}
      <div class="dialog-actions">
        <button type="button" class="button" onClick={onClose}>{words.value.close}</button>
        {names.length > 0 && <button type="button" class="button primary" onClick={onRestore}>{w.restore}</button>}
      </div>
    </Dialog>
  );
}

function definitionOf({ version: _, created_at: __, created_by: ___, ...definition }: Version): Fields {
  return definition as Fields;
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join("\n");
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** The names of people and keys, by how records name them. */
async function readPeople(): Promise<Map<string, string>> {
  const query = { params: { query: { limit: 100 } } };
  const [people, keys] = await Promise.all([
    may("users.read") ? need(api.GET("/api/users", query)) : null,
    may("keys.own") ? need(api.GET("/api/auth/keys", query)) : null,
  ]);
  return new Map([
    ...(people?.items ?? []).map((one): [string, string] => [`user:${one.id}`, one.name || one.email]),
    ...(keys?.items ?? []).map((one): [string, string] => [`key:${one.id}`, words.value.agentPage.byKey(one.name)]),
  ]);
}
