/** A schedule as a form: a chat is made of fields, a job of another kind is written as the API takes it. */

import { api, need, type Schemas } from "../../api";
import { FormDialog, type FormField, json, type Values } from "../../parts/form";
import { words } from "../../words";
import type { Schedule } from "./page";

type FormProps = { schedule: Schedule | null; onClose: () => void; onSaved: () => void };

export function ScheduleForm({ schedule, onClose, onSaved }: FormProps) {
  const w = words.value.schedules;
  const asJson = schedule !== null && schedule.kind !== "chat";
  const job: FormField[] = asJson
    ? [{ name: "job", label: w.job, kind: "json", rows: 8, required: true }]
    : [
        { name: "message", label: w.message, kind: "area", rows: 3, required: true },
        { name: "agent", label: w.agent, hint: w.agentHint },
      ];
  const fields: FormField[] = [
    { name: "name", label: words.value.name, required: true },
    ...job,
    { name: "cron", label: w.cron, required: true, hint: w.cronHint },
    { name: "timezone", label: w.zone, required: true, hint: w.zoneHint },
    { name: "on_missed", label: w.missed, kind: "choice", options: [["skip", w.skip], ["run_once", w.runOnce]] },
    { name: "on_overlap", label: w.overlap, kind: "choice", options: [["skip", w.skip], ["queue", w.queue], ["cancel_previous", w.cancelPrevious]] },
  ];
  const save = async (values: Values) => {
    const body = {
      ...(schedule ? kept(schedule) : {}),
      name: values.name, cron: values.cron, timezone: values.timezone, on_missed: values.on_missed, on_overlap: values.on_overlap,
      job: asJson ? json("job", values.job ?? "") : chatOf(values, schedule),
    } as unknown as Schemas["ScheduleIn"];
    if (schedule) await need(api.PUT("/api/schedules/{schedule_id}", { params: { path: { schedule_id: schedule.id } }, body }));
    else await need(api.POST("/api/schedules", { body }));
    onSaved();
  };
  return (
    <FormDialog wide title={schedule?.name ?? w.make} button={schedule ? words.value.save : words.value.create} fields={fields}
      values={schedule ? valuesOf(schedule) : { cron: "0 8 * * MON-FRI", timezone: hereZone(), on_missed: "skip", on_overlap: "skip" }}
      onClose={onClose} onSend={save} />
  );
}

function hereZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

function valuesOf(schedule: Schedule): Values {
  const job = schedule.job as Record<string, string>;
  return {
    name: schedule.name, cron: schedule.cron, timezone: schedule.timezone, on_missed: schedule.on_missed, on_overlap: schedule.on_overlap,
    message: job.message ?? "", agent: job.agent ?? "", job: JSON.stringify(schedule.job, null, 2),
  };
}

/** What the form does not show, and a change would lose. */
function kept({ starts_at, ends_at, session, state }: Schedule) {
  return { session, paused: state === "paused", ...(starts_at ? { starts_at } : {}), ...(ends_at ? { ends_at } : {}) };
}

function chatOf(values: Values, schedule: Schedule | null) {
  const { agent: _, ...old } = (schedule?.job ?? {}) as Record<string, unknown>;
  return { ...old, kind: "chat", message: values.message, ...(values.agent ? { agent: values.agent } : {}) };
}
