/** The tenant's own keys for model providers: stored sealed, never shown again, and tested. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { useLoad } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";

type ProviderKey = Schemas["ProviderKeyOut"];

export default function ProvidersPage() {
  const w = words.value.providers;
  const { data, error, reload } = useLoad(() => need(api.GET("/api/api-keys")), []);
  const [service, setService] = useState<string | null>(null);
  const manages = may("credentials.manage");
  const path = (one: ProviderKey) => ({ params: { path: { service: one.service_name } } });
  const test = async (one: ProviderKey) => {
    const { ok, message } = await need(api.POST("/api/api-keys/{service}/test", path(one)));
    if (ok) told(message);
    else failed(new Error(message));
    reload();
  };
  const remove = async (one: ProviderKey) => {
    if (!(await confirmed(w.removeSure(one.service_name), words.value.remove))) return;
    await need(api.DELETE("/api/api-keys/{service}", path(one)));
    reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {manages && data && <button type="button" class="button primary" onClick={() => setService("")}>{w.make}</button>}
      </PageTitle>
      <p class="hint">{w.hint}</p>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && (
        <List pages={{ items: data.configured, reload }} empty={w.empty} heads={[w.service, w.tested, w.changed, ""]}
          row={(one) => (
            <tr key={one.service_name}>
              <td class="wide"><strong>{one.service_name}</strong>{one.base_url && <><br /><span class="soft">{one.base_url}</span></>}</td>
              <td>{one.tested_at ? <><Badge state={one.test_code === "ok" ? "ok" : "failed"} label={one.test_code ?? "–"} /> <Ago at={one.tested_at} /></> : w.never}</td>
              <td><Ago at={one.updated_at} /></td>
              <td>
                {manages && (
                  <>
                    <button type="button" class="link" aria-label={`${w.test}: ${one.service_name}`} onClick={() => test(one).catch(failed)}>{w.test}</button>{" "}
                    <button type="button" class="link" aria-label={`${w.replace}: ${one.service_name}`} onClick={() => setService(one.service_name)}>{w.replace}</button>{" "}
                    <button type="button" class="link" aria-label={`${words.value.remove}: ${one.service_name}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
                  </>
                )}
              </td>
            </tr>
          )} />
      )}
      {service !== null && data && <KeyForm service={service} services={data.supported} onClose={() => setService(null)} onSaved={reload} />}
    </div>
  );
}

type FormProps = { service: string; services: Schemas["ServiceOut"][]; onClose: () => void; onSaved: () => void };

function KeyForm({ service, services, onClose, onSaved }: FormProps) {
  const w = words.value.providers;
  const first = service || services[0]?.service_name || "";
  const save = async (values: Values) => {
    const body = {
      service_name: values.service_name ?? first, validate: values.validate === "true",
      ...(values.api_key ? { api_key: values.api_key } : {}), ...(values.base_url ? { base_url: values.base_url } : {}),
    };
    await need(api.POST("/api/api-keys", { body }));
    onSaved();
  };
  return (
    <FormDialog title={service || w.make} button={words.value.save} onClose={onClose} onSend={save} values={{ service_name: first, validate: "true" }}
      fields={[
        { name: "service_name", label: w.service, kind: "choice", options: (service ? [service] : services.map((one) => one.service_name)).map((name) => [name, name]) },
        { name: "api_key", label: w.key, kind: "password", hint: w.keyHint },
        { name: "base_url", label: w.address, kind: "url", hint: w.addressHint },
        { name: "validate", label: w.check, kind: "choice", options: [["true", words.value.yes], ["false", words.value.no]] },
      ]} />
  );
}
