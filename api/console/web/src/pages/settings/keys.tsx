/** API keys: made, shown once, revoked. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { FormDialog, lines } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { caller, may } from "../../session";
import { words } from "../../words";

type Key = Schemas["ApiKeyOut"];

export default function KeysPage() {
  const w = words.value.keys;
  const pages = usePages((cursor) => need(api.GET("/api/auth/keys", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState("");
  const roles = ["member", "viewer", ...(caller.value?.role === "owner" || caller.value?.role === "admin" ? ["owner"] : [])];
  const revoke = async (key: Key) => {
    if (!(await confirmed(w.revokeSure(key.name), w.revoke))) return;
    await need(api.DELETE("/api/auth/keys/{key_id}", { params: { path: { key_id: key.id } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {may("keys.own") && <button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button>}
      </PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.begins, w.role, w.used, w.expires, ""]}
        row={(key) => (
          <tr key={key.id}>
            <td class="wide">{key.name} {key.revoked_at && <Badge state="failed" label={w.revoked} />}</td>
            <td class="mono">{key.prefix}</td>
            <td>{key.role}</td>
            <td>{key.last_used_at ? <Ago at={key.last_used_at} /> : w.never}</td>
            <td>{key.expires_at ? <Ago at={key.expires_at} /> : w.neverExpires}</td>
            <td>
              {!key.revoked_at && (
                <button type="button" class="link" aria-label={`${w.revoke}: ${key.name}`} onClick={() => revoke(key).catch(failed)}>{w.revoke}</button>
              )}
            </td>
          </tr>
        )} />
      {making && (
        <FormDialog title={w.make} button={words.value.create} onClose={() => setMaking(false)} values={{ role: "member" }}
          fields={[
            { name: "name", label: words.value.name, required: true, hint: w.nameHint },
            { name: "role", label: w.role, kind: "choice", options: roles.map((role) => [role, role]) },
            { name: "scopes", label: w.scopes, kind: "area", rows: 2, hint: w.scopesHint },
            { name: "expires_in_days", label: w.days, kind: "number", hint: w.daysHint },
            { name: "front_end_prompts", label: w.frontEnd, kind: "choice", hint: w.frontEndHint,
              options: [["", w.frontEndDefault], ["plain", w.frontEndPlain], ["agent", w.frontEndAgent]] },
          ]}
          onSend={async ({ name = "", role, scopes, expires_in_days, front_end_prompts }) => {
            const rights = lines(scopes);
            const days = expires_in_days ? { expires_in_days: Number(expires_in_days) } : {};
            const body = { name, role, ...days, ...(rights.length ? { scopes: rights } : {}), front_end_prompts: front_end_prompts || null } as Schemas["ApiKeyIn"];
            setMade((await need(api.POST("/api/auth/keys", { body }))).key);
            pages.reload();
          }} />
      )}
      {made && <NewKey secret={made} onClose={() => setMade("")} />}
    </div>
  );
}

export function NewKey({ secret, onClose }: { secret: string; onClose: () => void }) {
  const w = words.value;
  const copy = () => navigator.clipboard.writeText(secret).then(() => told(w.copied), failed);
  return (
    <Dialog title={w.keys.once} onClose={onClose}>
      <p>{w.keys.onceHint}</p>
      <p class="secret mono">{secret}</p>
      <div class="dialog-actions"><button type="button" class="button primary" onClick={copy}>{w.copy}</button></div>
    </Dialog>
  );
}
