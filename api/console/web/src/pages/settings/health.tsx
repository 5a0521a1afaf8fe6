/** The state of each part of the installation, read again every ten seconds while the page is seen. */

import { useEffect } from "preact/hooks";
import { api, type Schemas } from "../../api";
import { clock, duration, now } from "../../format";
import { Badge, ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { words } from "../../words";

export default function HealthPage() {
  const w = words.value.health;
  const { data, error, reload } = useLoad(read, []);
  const tick = now.value;
  useEffect(reload, [tick]);
  return (
    <div class="page">
      <PageTitle text={w.title}>{data && <span class="soft">{w.checked(clock(new Date(tick).toISOString()))}</span>}</PageTitle>
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
    </div>
  );
}

/** A health that is bad comes with a 503, and says why all the same. */
async function read(): Promise<Schemas["HealthOut"]> {
  const { data, error } = await api.GET("/health");
  return (data ?? error) as Schemas["HealthOut"];
}

function Part({ name, part }: { name: string; part: any }) {
  const { status, latency_ms, detail, ...rest } = part;
  const told = Object.entries({ ...detail, ...rest }).filter(([, value]) => value !== null && typeof value !== "object");
  if (latency_ms !== undefined) told.unshift([words.value.health.answers, duration(latency_ms)]);
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <State state={String(status)} />{" "}
        <span class="soft">{told.map(([key, value]) => (key === "hint" ? value : `${key.replaceAll("_", " ")}: ${value}`)).join(" · ")}</span>
      </dd>
    </>
  );
}

function State({ state }: { state: string }) {
  const w = words.value.health;
  const mark = state === "up" ? "ok" : state === "degraded" ? "queued" : "down";
  return <Badge state={mark} label={w.states[state] ?? state} />;
}
