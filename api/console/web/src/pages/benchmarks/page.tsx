/** Benchmarks: made, followed, and two of them laid side by side. */

import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { between, count } from "../../format";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { may } from "../../session";
import { words } from "../../words";
import { Compared } from "./compared";
import { BenchmarkForm, QualityForm } from "./forms";

type Benchmark = Schemas["BenchmarkOut"];

export default function BenchmarksPage() {
  const w = words.value.benchmarks;
  const { url, route } = useLocation();
  const compared = (new URLSearchParams(url.split("?")[1] ?? "").get("compare") ?? "").split(",").filter(Boolean);
  return compared.length === 2 ? <Compared earlier={compared[0]} later={compared[1]} /> : <Benchmarks onCompare={(ids) => route(to("benchmarks", { compare: ids.join(",") }))} title={w.title} />;
}

function Benchmarks({ title, onCompare }: { title: string; onCompare: (ids: string[]) => void }) {
  const w = words.value.benchmarks;
  const { route } = useLocation();
  const pages = usePages((cursor) => need(api.GET("/api/benchmarks", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState<"speed" | "quality" | null>(null);
  const [chosen, setChosen] = useState<string[]>([]);
  const choose = (id: string) => setChosen((old) => (old.includes(id) ? old.filter((one) => one !== id) : [...old, id].slice(-2)));
  const open = (id: string) => route(to(`benchmarks/${id}`));
  return (
    <div class="page">
      <PageTitle text={title}>
        {chosen.length === 2 && <button type="button" class="button" onClick={() => onCompare(inTime(chosen, pages.items))}>{w.compareTwo}</button>}
        {may("benchmarks.run") && (
          <>
            {may("agents.manage") && <button type="button" class="button" onClick={() => setMaking("quality")}>{w.makeQuality}</button>}
            <button type="button" class="button primary" onClick={() => setMaking("speed")}>{w.make}</button>
          </>
        )}
      </PageTitle>
      {(pages.items?.length ?? 0) > 1 && <p class="hint">{w.compareHint}</p>}
      <List pages={pages} empty={w.empty} heads={[w.models, words.value.jobs.state, w.done, words.value.jobs.created, words.value.jobs.took, w.compare]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide"><a href={to(`benchmarks/${one.id}`)}>{one.models.join(", ")}</a></td>
            <td><Badge state={one.state} label={words.value.jobs.states[one.state]} /></td>
            <td>{count(one.done)}/{count(one.total)}</td>
            <td><Ago at={one.created_at} /></td>
            <td>{between(one.started_at, one.finished_at)}</td>
            <td>
              <input type="checkbox" class="tick" aria-label={w.compareThis(one.models.join(", "))} checked={chosen.includes(one.id)} onChange={() => choose(one.id)} />
            </td>
          </tr>
        )} />
      {making === "speed" && <BenchmarkForm onClose={() => setMaking(null)} onMade={open} />}
      {making === "quality" && <QualityForm onClose={() => setMaking(null)} onMade={open} />}
    </div>
  );
}

/** The earlier one first. */
function inTime(chosen: string[], all: Benchmark[] = []): string[] {
  const at = (id: string) => all.find((one) => one.id === id)?.created_at ?? "";
  return [...chosen].sort((a, b) => at(a).localeCompare(at(b)));
}
