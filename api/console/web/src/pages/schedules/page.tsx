/** Schedules: what starts by itself, when it is due next, and whether it goes on. */

import { useState } from "preact/hooks";
import { to } from "../../address";
import { api, need, type Schemas } from "../../api";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { may } from "../../session";
import { words } from "../../words";
import { ScheduleForm } from "./form";

export type Schedule = Schemas["ScheduleOut"];

export default function SchedulesPage() {
  const w = words.value.schedules;
  const pages = usePages((cursor) => need(api.GET("/api/schedules", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {may("schedules.write") && <button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button>}
      </PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, words.value.jobs.kind, w.cron, words.value.jobs.state, w.next]}
        row={(one) => (
          <tr key={one.id}>
            <td class="wide"><a class="row-link" href={to(`schedules/${one.id}`)}>{one.name}</a></td>
            <td>{words.value.jobKinds[one.kind] ?? one.kind}</td>
            <td><span class="mono">{one.cron}</span> <span class="soft">{one.timezone}</span></td>
            <td><ScheduleState schedule={one} /></td>
            <td>{one.next_at ? <Ago at={one.next_at} /> : "–"}</td>
          </tr>
        )} />
      {making && <ScheduleForm schedule={null} onClose={() => setMaking(false)} onSaved={pages.reload} />}
    </div>
  );
}

export function ScheduleState({ schedule }: { schedule: Schedule }) {
  const mark = schedule.reason ? "failed" : schedule.state === "active" ? "ok" : "";
  return <Badge state={mark} label={words.value.schedules.states[schedule.state] ?? schedule.state} />;
}
