/** Identity providers by which people of the organisation sign in (OpenID Connect). */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, type FormField, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { words } from "../../words";

type Provider = Schemas["IdentityProviderOut"];
const ROLES = ["member", "viewer", "owner"];

export default function SignInProvidersPage() {
  const w = words.value.signInProviders;
  const pages = usePages(() => need(api.GET("/api/auth/providers")).then(({ items }) => ({ items, next_cursor: null })), []);
  const [open, setOpen] = useState<Provider | "new" | null>(null);
  const remove = async (one: Provider) => {
    if (!(await confirmed(w.removeSure(one.name), words.value.remove))) return;
    await need(api.DELETE("/api/auth/providers/{provider_id}", { params: { path: { provider_id: one.id } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setOpen("new")}>{w.make}</button></PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.role, w.redirect, ""]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide"><strong>{one.name}</strong><br /><span class="soft">{one.issuer}</span></td>
            <td>{one.role}{one.role_claim && <span class="soft"> · {one.role_claim}</span>}</td>
            <td class="wide mono">{one.redirect_uri}</td>
            <td>
              <button type="button" class="link" aria-label={`${words.value.agents.change}: ${one.name}`} onClick={() => setOpen(one)}>{words.value.agents.change}</button>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${one.name}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      {open && <ProviderForm provider={open === "new" ? null : open} onClose={() => setOpen(null)} onSaved={pages.reload} />}
    </div>
  );
}

function ProviderForm({ provider, onClose, onSaved }: { provider: Provider | null; onClose: () => void; onSaved: () => void }) {
  const w = words.value.signInProviders;
  const isNew: FormField[] = provider ? [] : [
    { name: "name", label: words.value.name, required: true, hint: w.nameHint },
    { name: "issuer", label: w.issuer, kind: "url", required: true, hint: w.issuerHint },
  ];
  const save = async (values: Values) => {
    const given = Object.fromEntries(["client_id", "client_secret", "role_claim"].filter((name) => values[name]).map((name) => [name, values[name]]));
    const body = { ...given, role: values.role as Provider["role"], sign_up: values.sign_up === "true" };
    if (provider) await need(api.PATCH("/api/auth/providers/{provider_id}", { params: { path: { provider_id: provider.id } }, body }));
    else await need(api.POST("/api/auth/providers", { body: { ...body, name: values.name, issuer: values.issuer } as Schemas["IdentityProviderIn"] }));
    onSaved();
  };
  return (
    <FormDialog title={provider?.name ?? w.make} button={provider ? words.value.save : words.value.create} onClose={onClose} onSend={save}
      values={{ role: provider?.role ?? "member", sign_up: String(provider?.sign_up ?? true), client_id: provider?.client_id ?? "", role_claim: provider?.role_claim ?? "" }}
      fields={[
        ...isNew,
        { name: "client_id", label: w.clientId },
        { name: "client_secret", label: w.clientSecret, kind: "password", hint: provider?.has_client_secret ? w.secretKept : "" },
        { name: "role", label: w.role, kind: "choice", options: ROLES.map((role) => [role, role]) },
        { name: "role_claim", label: w.roleClaim, hint: w.roleClaimHint },
        { name: "sign_up", label: w.signUp, kind: "choice", options: [["true", words.value.yes], ["false", words.value.no]] },
      ]} />
  );
}
