/** Webhook endpoints, and what became of each message to them. */

import { useLocation } from "preact-iso";
import { useCallback, useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { duration } from "../../format";
import { type Changes, useChanges } from "../../live";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { confirmed, Dialog } from "../../parts/dialog";
import { FormDialog, lines } from "../../parts/form";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { words } from "../../words";
import { NewKey } from "./keys";

type Endpoint = Schemas["EndpointOut"];

export default function WebhooksPage() {
  const w = words.value.webhooks;
  const pages = usePages((cursor) => need(api.GET("/api/webhooks", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState("");
  const path = (one: Endpoint) => ({ params: { path: { endpoint_id: one.id } } });
  const toggle = async (one: Endpoint) => {
    await need(api.PATCH("/api/webhooks/{endpoint_id}", { ...path(one), body: { enabled: !one.enabled } }));
    pages.reload();
  };
  const test = async (one: Endpoint) => {
    await need(api.POST("/api/webhooks/{endpoint_id}/test", path(one)));
    told(w.sent);
  };
  const remove = async (one: Endpoint) => {
    if (!(await confirmed(words.value.confirmRemove(one.url), words.value.remove))) return;
    await need(api.DELETE("/api/webhooks/{endpoint_id}", path(one)));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button></PageTitle>
      <List pages={pages} empty={w.empty} heads={[w.address, w.events, words.value.jobs.state, ""]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide">{one.url}{one.description && <><br /><span class="soft">{one.description}</span></>}</td>
            <td>{one.events.join(", ")}</td>
            <td><Badge state={one.enabled ? (one.failing_since ? "failed" : "ok") : ""} label={one.enabled ? (one.failing_since ? w.failing : w.on) : w.off} /></td>
            <td>
              <button type="button" class="link" aria-label={`${w.test}: ${one.url}`} onClick={() => test(one).catch(failed)}>{w.test}</button>{" "}
              <button type="button" class="link" aria-label={`${one.enabled ? w.switchOff : w.switchOn}: ${one.url}`} onClick={() => toggle(one).catch(failed)}>{one.enabled ? w.switchOff : w.switchOn}</button>{" "}
              <button type="button" class="link" aria-label={`${words.value.remove}: ${one.url}`} onClick={() => remove(one).catch(failed)}>{words.value.remove}</button>
            </td>
          </tr>
        )} />
      <Deliveries />
      {making && (
        <FormDialog title={w.make} button={words.value.create} onClose={() => setMaking(false)} values={{ events: "job.*" }}
          fields={[
            { name: "url", label: w.address, kind: "url", required: true, hint: w.addressHint },
            { name: "events", label: w.events, kind: "area", rows: 3, required: true, hint: w.eventsHint },
            { name: "description", label: w.description },
          ]}
          onSend={async ({ url = "", events, description = "" }) => {
            const body = { url, events: lines(events), description } as Schemas["EndpointIn"];
            setSecret((await need(api.POST("/api/webhooks", { body }))).secret);
            pages.reload();
          }} />
      )}
      {secret && <NewKey secret={secret} onClose={() => setSecret("")} />}
    </div>
  );
}

function Deliveries() {
  const w = words.value.webhooks;
  const { url, route } = useLocation();
  const state = new URLSearchParams(url.split("?")[1] ?? "").get("state") ?? "";
  const query = { limit: 30, ...(state ? { state: [state] } : {}) };
  const pages = usePages(
    (cursor) => need(api.GET("/api/webhooks/deliveries", { params: { query: { ...query, ...(cursor ? { cursor } : {}) } as any } })),
    [state],
  );
  const reload = pages.reload;
  const onChanges = useCallback(
    (changes: Changes) => {
      if (changes.deliveries.length || changes.reload.includes("deliveries")) reload();
    },
    [reload],
  );
  useChanges(onChanges, reload);
  const [open, setOpen] = useState("");
  const states = ["pending", "sending", "paused", "delivered", "exhausted"];
  return (
    <section>
      <h2>{w.deliveries}</h2>
      <div class="filters">
        <select aria-label={words.value.jobs.state} value={state} onChange={(event) => route(to("webhooks", { state: event.currentTarget.value }), true)}>
          <option value="">{words.value.all}</option>
          {states.map((one) => <option key={one} value={one}>{w.states[one]}</option>)}
        </select>
      </div>
      <List pages={pages} empty={w.noDeliveries} heads={[words.value.jobs.state, w.event, w.attempts, words.value.jobs.created, ""]}
        row={(one) => (
          <tr key={one.id}>
            <td><Badge state={one.state} label={w.states[one.state] ?? one.state} /></td>
            <td class="wide">{one.type}{one.last_error && <span class="soft"> · {one.last_error}</span>}</td>
            <td>{one.attempts}</td>
            <td><Ago at={one.created_at} /></td>
            <td><button type="button" class="link" aria-label={`${w.show}: ${one.type}`} onClick={() => setOpen(one.id)}>{w.show}</button></td>
          </tr>
        )} />
      {open && <Delivery id={open} onClose={() => setOpen("")} />}
    </section>
  );
}

function Delivery({ id, onClose }: { id: string; onClose: () => void }) {
  const w = words.value.webhooks;
  const path = { params: { path: { delivery_id: id } } };
  const { data, error, reload } = useLoad(() => need(api.GET("/api/webhooks/deliveries/{delivery_id}", path)), [id]);
  const again = async () => {
    await need(api.POST("/api/webhooks/deliveries/{delivery_id}/redeliver", path));
    told(w.sent);
    onClose();
  };
  return (
    <Dialog wide title={data ? `${w.delivery}: ${data.type}` : w.delivery} onClose={onClose}>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data?.log.map((one) => (
        <div key={one.attempt} class="attempt">
          <p><strong>{one.attempt}.</strong> <Ago at={one.started_at} /> · {one.status ?? one.error} · {duration(one.duration_ms)}</p>
          {(one.response || one.detail) && <div class="lines" tabIndex={0}>{one.response || one.detail}</div>}
        </div>
      ))}
      <div class="dialog-actions">
        {data?.job_id && <a class="button" href={to(`jobs/${data.job_id}`)} onClick={onClose}>{words.value.jobs.job}</a>}
        {data && <button type="button" class="button primary" onClick={() => again().catch(failed)}>{w.redeliver}</button>}
      </div>
    </Dialog>
  );
}
