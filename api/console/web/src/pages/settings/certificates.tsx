/** The certificates that the API serves TLS with: uploaded, made, requested or ordered; replaced, renewed, deleted. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { moment } from "../../format";
import { Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { FormDialog, type FormField, lines, type Values } from "../../parts/form";
import { List } from "../../parts/list";
import { useLoad } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { words } from "../../words";

type Certificate = Schemas["CertificateOut"];
type Way = "upload" | "own" | "request" | "order";
const WAYS: Way[] = ["upload", "own", "request", "order"];
const STATES = { served: "succeeded", expired: "failed", waiting: "queued" } as const;
const NEAR_MS = 14 * 86_400_000;

export default function CertificatesPage() {
  const w = words.value.certificates;
  const { data, error, reload } = useLoad(() => need(api.GET("/api/admin/certificates")), []);
  const [way, setWay] = useState<Way | null>(null);
  const [replaced, setReplaced] = useState<Certificate | null>(null);
  const [shown, setShown] = useState<Certificate | null>(null);
  const path = (one: Certificate) => ({ params: { path: { name: one.name } } });
  const renew = async (one: Certificate) => {
    await need(api.POST("/api/admin/certificates/{name}/renew", path(one)));
    told(one.origin === "acme" ? w.asked : w.renewed);
    reload();
  };
  const remove = async (one: Certificate) => {
    if (!(await confirmed(w.removeSure(one.name), words.value.remove))) return;
    await need(api.DELETE("/api/admin/certificates/{name}", path(one)));
    reload();
  };
  const made = (one: Certificate) => {
    reload();
    if (one.origin === "requested" && one.state === "waiting") setShown(one);
  };
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {WAYS.map((one) => <button key={one} type="button" class={one === "upload" ? "button primary" : "button"} onClick={() => setWay(one)}>{w.ways[one]}</button>)}
      </PageTitle>
      <p class="hint">{w.hint}</p>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && <List pages={{ items: data.items, reload }} empty={w.empty} heads={[words.value.name, w.names, w.origin, w.state, w.ends, ""]}
        row={(one) => (
          <tr key={one.name}>
            <td class="wide"><strong>{one.name}</strong></td>
            <td class="wide">{one.names.join(", ")}</td>
            <td>{w.origins[one.origin]}</td>
            <td class="wide"><Badge state={STATES[one.state]} label={w.states[one.state]} />{one.error && <p class="soft">{one.error}</p>}</td>
            <td title={one.issuer ?? ""}>{one.not_after ? moment(one.not_after) : "–"}{near(one) && <> <Badge state="failed" label={w.near} /></>}</td>
            <td>
              {(one.chain || one.csr) && <><button type="button" class="link" aria-label={`${w.show}: ${one.name}`} onClick={() => setShown(one)}>{w.show}</button>{" "}</>}
              {one.origin === "acme" || one.origin === "self_signed"
                ? <button type="button" class="link" aria-label={`${w.renew}: ${one.name}`} onClick={() => renew(one).catch(failed)}>{w.renew}</button>
                : <button type="button" class="link" aria-label={`${w.replace}: ${one.name}`} onClick={() => setReplaced(one)}>{w.replace}</button>}{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${one.name}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />}
      {way && <NewForm way={way} onClose={() => setWay(null)} onSaved={made} />}
      {replaced && <ReplaceForm certificate={replaced} onClose={() => setReplaced(null)} onSaved={reload} />}
      {shown && <Text certificate={shown} onClose={() => setShown(null)} />}
    </div>
  );
}

function near(one: Certificate): boolean {
  return one.state === "served" && one.not_after !== null && Date.parse(one.not_after) - Date.now() < NEAR_MS;
}

function pair(): FormField[] {
  const w = words.value.certificates;
  return [
    { name: "certificate", label: w.pem, kind: "area", rows: 6, required: true, hint: w.pemHint },
    { name: "key", label: w.key, kind: "area", rows: 4, hint: w.keyHint },
  ];
}

type NewProps = { way: Way; onClose: () => void; onSaved: (one: Certificate) => void };

function NewForm({ way, onClose, onSaved }: NewProps) {
  const w = words.value.certificates;
  const name: FormField = { name: "name", label: words.value.name, required: true, hint: w.nameHint };
  const names: FormField = { name: "names", label: w.names, kind: "area", rows: 3, required: true, hint: w.namesHint };
  const fields: Record<Way, FormField[]> = {
    upload: [name, ...pair()],
    own: [name, names, { name: "days", label: w.days, kind: "number", required: true }],
    request: [name, names],
    order: [name, names, { name: "terms", label: w.terms, kind: "choice", options: [["no", words.value.no], ["yes", words.value.yes]], hint: w.termsHint }],
  };
  const save = async (values: Values) => {
    const body = { name: values.name ?? "", names: lines(values.names) };
    const sent = {
      upload: () => api.POST("/api/admin/certificates", { body: { name: body.name, certificate: values.certificate ?? "", key: values.key ?? "" } }),
      own: () => api.POST("/api/admin/certificates/self-signed", { body: { ...body, days: Number(values.days) } as Schemas["SelfSignedIn"] }),
      request: () => api.POST("/api/admin/certificates/requests", { body: body as Schemas["RequestIn"] }),
      order: () => api.POST("/api/admin/certificates/acme", { body: { ...body, terms_accepted: values.terms === "yes" } }),
    };
    const saved = await need<Certificate>(sent[way]());
    queueMicrotask(() => onSaved(saved)); // after this dialog has closed
  };
  return <FormDialog wide title={w.ways[way]} button={words.value.create} fields={fields[way]} values={{ days: "365", terms: "no" }} onClose={onClose} onSend={save}><p class="hint">{w.wayHints[way]}</p></FormDialog>;
}

function ReplaceForm({ certificate, onClose, onSaved }: { certificate: Certificate; onClose: () => void; onSaved: () => void }) {
  const w = words.value.certificates;
  const save = async (values: Values) => {
    const body = { certificate: values.certificate ?? "", key: values.key?.trim() ? values.key : null };
    await need(api.PUT("/api/admin/certificates/{name}", { params: { path: { name: certificate.name } }, body }));
    onSaved();
  };
  return <FormDialog wide title={`${w.replace}: ${certificate.name}`} button={words.value.save} fields={pair()} onClose={onClose} onSend={save}><p class="hint">{w.replaceHint}</p></FormDialog>;
}

function Text({ certificate, onClose }: { certificate: Certificate; onClose: () => void }) {
  const w = words.value.certificates;
  const text = certificate.chain ?? certificate.csr ?? "";
  const copy = () => navigator.clipboard.writeText(text).then(() => told(words.value.copied), failed);
  return (
    <Dialog wide title={certificate.name} onClose={onClose}>
      <p>{certificate.chain ? w.chainHint : w.csrHint}</p>
      {certificate.fingerprint && <p class="hint mono">SHA-256 {certificate.fingerprint}</p>}
      <pre class="secret mono">{text}</pre>
      <div class="dialog-actions"><button type="button" class="button primary" onClick={copy}>{words.value.copy}</button></div>
    </Dialog>
  );
}
