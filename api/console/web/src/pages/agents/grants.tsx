/** Who may call an agent. One of the installation's is granted to organisations, which its admins see and change here. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";

type Granted = { slug: string; name: string; by: string | null };
const PAGE = 20;

export function Grants({ agent }: { agent: string }) {
  const w = words.value.agentPage;
  return (
    <section>
      <h2>{w.grants}</h2>
      {may("tenants.manage") ? <Organisations agent={agent} /> : <p class="hint">{w.everybody}</p>}
    </section>
  );
}

function Organisations({ agent }: { agent: string }) {
  const w = words.value.agentPage;
  const pages = usePages((cursor) => read(agent, cursor), [agent]);
  return (
    <>
      <p class="hint">{w.shared}</p>
      <List pages={pages} empty={words.value.tenants.empty} heads={[words.value.signIn.tenant, w.grants]}
        row={(one) => (
          <tr key={one.slug}>
            <td class="wide">{one.name} <span class="soft">{one.slug}</span></td>
            <td><Grant agent={agent} one={one} /></td>
          </tr>
        )} />
    </>
  );
}

function Grant({ agent, one }: { agent: string; one: Granted }) {
  const [by, setBy] = useState(one.by);
  const change = async () => {
    const path = { params: { path: { tenant: one.slug, kind: "agent", name: agent } } } as any;
    if (by) await need(api.DELETE("/api/admin/tenants/{tenant}/grants/{kind}/{name}", path));
    else await need(api.PUT("/api/admin/tenants/{tenant}/grants/{kind}/{name}", { ...path, body: {} }));
    setBy(by ? null : agent);
  };
  const pattern = by && by !== agent ? by : "";
  return (
    <label class="check">
      <input type="checkbox" class="tick" aria-label={one.name} checked={by !== null} disabled={pattern !== ""} onChange={() => void change().catch(failed)} />
      {pattern && <span class="soft">{words.value.agentPage.byPattern(pattern)}</span>}
    </label>
  );
}

async function read(agent: string, cursor?: string): Promise<{ items: Granted[]; next_cursor: string | null }> {
  const page = await need(api.GET("/api/admin/tenants", { params: { query: { limit: PAGE, ...(cursor ? { cursor } : {}) } } }));
  const items = await Promise.all(page.items.map((tenant) => grantOf(tenant, agent)));
  return { items, next_cursor: page.next_cursor };
}

async function grantOf({ slug, name }: Pick<Schemas["TenantOut"], "slug" | "name">, agent: string): Promise<Granted> {
  const { items } = await need(api.GET("/api/admin/tenants/{tenant}/grants", { params: { path: { tenant: slug } } }));
  const names = items.filter((grant) => grant.kind === "agent").map((grant) => grant.name);
  const pattern = names.find((one) => one.endsWith("*") && agent.startsWith(one.slice(0, -1)));
  return { slug, name, by: names.includes(agent) ? agent : (pattern ?? null) };
}
