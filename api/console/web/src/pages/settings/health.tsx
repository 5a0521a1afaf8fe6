/** The state of each part of the installation, read again every ten seconds while the page is seen. */

import { useEffect, useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { clock, count, duration, moment, now, size } from "../../format";
import { Ago, Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { List } from "../../parts/list";
import { useLoad, usePages } from "../../parts/load";
import { may } from "../../session";
import { words } from "../../words";

export default function HealthPage() {
  const w = words.value.health;
  const { data, error, reload } = useLoad(read, []);
  const tick = now.value;
  useEffect(reload, [tick]);
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {data && <span class="soft">{w.checked(clock(new Date(tick).toISOString()))}</span>}
        <button type="button" class="button" onClick={reload}>{w.again}</button>
      </PageTitle>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && (
        <dl class="facts health">
          <dt>{w.all}</dt>
          <dd><State state={data.status} /></dd>
          {Object.entries(data.parts as Record<string, any>).map(([name, part]) => (
            <Part key={name} name={name} part={part} />
          ))}
        </dl>
      )}
      {data && may("operations.read") && <History parts={Object.keys(data.parts)} />}
    </div>
  );
}

/** What the watchdog found of each part, minute by minute. */
function History({ parts }: { parts: string[] }) {
  const w = words.value.health;
  const [part, setPart] = useState("");
  const pages = usePages(
    (cursor) => need(api.GET("/api/admin/health/checks", { params: { query: { limit: 50, ...(part ? { part } : {}), ...(cursor ? { cursor } : {}) } } })),
    [part],
  );
  return (
    <section>
      <h2>{w.history}</h2>
      <div class="filters">
        <select aria-label={w.part} value={part} onChange={(event) => setPart(event.currentTarget.value)}>
          <option value="">{w.part}: {words.value.all}</option>
          {parts.map((one) => <option key={one} value={one}>{partName(one)}</option>)}
        </select>
      </div>
      <List pages={pages} empty={w.noHistory} heads={[w.part, words.value.jobs.state, words.value.audit.at, w.checks, w.slowest, w.what]}
        row={(one) => (
          <tr key={one.part + one.at}>
            <td>{partName(one.part)}</td>
            <td><State state={one.status} /></td>
            <td><time dateTime={one.at}>{moment(one.at)}</time></td>
            <td class="number">{count(one.failed)}/{count(one.checks)}</td>
            <td class="number">{duration(one.latency_ms)}</td>
            <td class="wide">{one.error ?? "–"}</td>
          </tr>
        )} />
    </section>
  );
}

/** A health that is bad comes with a 503, and says why all the same. */
async function read(): Promise<Schemas["HealthOut"]> {
  const { data, error } = await api.GET("/health");
  return (data ?? error) as Schemas["HealthOut"];
}

/** Names of what is said in sentences; all else that a part tells are figures. */
const SENTENCES = ["error", "hint", "last_error"];
const TIMES = ["since", "last_error_at"];

/** A part as people call it; providers and others that have no word of ours by their own name. */
function partName(name: string): string {
  return words.value.health.parts[name] ?? name.replaceAll("_", " ");
}

function Part({ name, part }: { name: string; part: any }) {
  const w = words.value.health;
  const { status, latency_ms, detail, ...rest } = part;
  const told: Record<string, any> = Object.fromEntries(Object.entries({ ...detail, ...rest }).filter(([, value]) => value !== null && typeof value !== "object"));
  const figures = Object.entries(told).filter(([key]) => !SENTENCES.includes(key) && !TIMES.includes(key));
  return (
    <>
      <dt>{partName(name)}</dt>
      <dd>
        <State state={String(status)} />{" "}
        <span class="soft">
          {latency_ms != null && `${w.answers} ${duration(latency_ms)}`}
          {latency_ms != null && told.since && " · "}
          {told.since && <>{w.since} <Ago at={told.since} /></>}
        </span>
        {[told.error, told.hint].filter(Boolean).map((sentence) => <p key={sentence}>{sentence}</p>)}
        {told.last_error && <p class="soft">{w.lastError}{told.last_error_at && <> (<Ago at={told.last_error_at} />)</>}: {told.last_error}</p>}
        {figures.length > 0 && (
          <details class="figures">
            <summary>{w.figures}</summary>
            <dl>{figures.map(([key, value]) => <div key={key}><dt>{key.replace(UNIT, "").replaceAll("_", " ")}</dt><dd>{figure(key, value)}</dd></div>)}</dl>
          </details>
        )}
      </dd>
    </>
  );
}

const UNIT = /_(bytes|percent|ms|s)$/;

/** A figure in the unit that its name ends with. */
function figure(key: string, value: unknown): string {
  if (typeof value !== "number") return String(value);
  if (key.endsWith("bytes")) return size(value);
  if (key.endsWith("percent")) return `${value} %`;
  if (key.endsWith("_ms")) return `${value} ms`;
  return key.endsWith("_s") ? duration(value * 1000) : count(value);
}

function State({ state }: { state: string }) {
  const w = words.value.health;
  const mark = state === "up" ? "ok" : state === "degraded" ? "queued" : "down";
  return <Badge state={mark} label={w.states[state] ?? state} />;
}
