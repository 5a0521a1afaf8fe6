/** A form in a dialog: its fields, what the server said about one of them, and the button that sends it. */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { ApiError } from "../api";
import { words } from "../words";
import { ErrorNote, Field } from "./basics";
import { Dialog } from "./dialog";

export type Values = Record<string, string>;
export type FormField = {
  name: string;
  label: string;
  hint?: string;
  /** `many`: of the options, one a line. */
  kind?: "text" | "email" | "password" | "url" | "number" | "area" | "json" | "choice" | "many";
  options?: [value: string, label: string][];
  required?: boolean;
  rows?: number;
};
type FormProps = {
  title: string;
  fields: FormField[];
  values?: Values;
  button: string;
  wide?: boolean;
  /** Resolves to true if the dialog stays open. */
  onSend: (values: Values) => Promise<unknown>;
  onClose: () => void;
  children?: ComponentChildren;
};

export function FormDialog({ title, fields, values, button, wide, onSend, onClose, children }: FormProps) {
  const form = useForm(fields, values, (sent) => onSend(sent).then((stays) => void (stays === true || onClose())));
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form onSubmit={form.submit}>
        {form.shown}
        {children}
        {form.problem}
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>{words.value.cancel}</button>
          <button type="submit" class="button primary" disabled={form.busy}>{button}</button>
        </div>
      </form>
    </Dialog>
  );
}

type PanelProps = Pick<FormProps, "fields" | "values" | "button" | "onSend">;

/** The same in a page: what was saved stays to be seen. */
export function FormPanel({ fields, values, button, onSend }: PanelProps) {
  const form = useForm(fields, values, onSend);
  return (
    <form class="card" onSubmit={form.submit}>
      {form.shown}
      {form.problem}
      <button type="submit" class="button primary" disabled={form.busy}>{button}</button>
    </form>
  );
}

function useForm(fields: FormField[], initial: Values = {}, onSend: (values: Values) => Promise<unknown>) {
  const [values, setValues] = useState<Values>(initial);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const wrong = error instanceof ApiError ? error.field?.split(/[.[]/)[0] : undefined;
  const beside = fields.some((field) => field.name === wrong);
  const submit = (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    onSend(values)
      .catch(setError)
      .finally(() => setBusy(false));
  };
  const shown = fields.map((field) => {
    const told = field.name === wrong && error instanceof Error ? error.message : undefined;
    const value = values[field.name] ?? "";
    const change = (changed: string) => setValues((old) => ({ ...old, [field.name]: changed }));
    if (field.kind === "many") return <Many key={field.name} field={field} told={told} value={value} onChange={change} />;
    return (
      <Field key={field.name} label={field.label} hint={field.hint} error={told}>
        {(id, hint) => <Control id={id} told={hint} field={field} value={value} onChange={change} />}
      </Field>
    );
  });
  return { shown, submit, busy, problem: error !== undefined && !beside && <ErrorNote error={error} /> };
}

type ManyProps = { field: FormField; told?: string; value: string; onChange: (value: string) => void };

/** Boxes to tick; what is chosen and no longer offered stays to be seen, and can be taken away. */
function Many({ field, told, value, onChange }: ManyProps) {
  const chosen = lines(value);
  const offered = field.options ?? [];
  const gone = chosen.filter((name) => !offered.some(([option]) => option === name)).map((name): [string, string] => [name, name]);
  const toggle = (name: string) => onChange((chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]).join("\n"));
  return (
    <fieldset class="field many">
      <legend class="label">{field.label}</legend>
      <div class="boxes">
        {[...offered, ...gone].map(([name, label]) => (
          <label class="check" key={name}>
            <input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} /> <span>{label}</span>
          </label>
        ))}
      </div>
      {(told || field.hint) && <p class={told ? "field-error" : "hint"} role={told ? "alert" : undefined}>{told ?? field.hint}</p>}
    </fieldset>
  );
}

type ControlProps = { id: string; told?: string; field: FormField; value: string; onChange: (value: string) => void };

function Control({ id, told, field, value, onChange }: ControlProps) {
  const common = { id, "aria-describedby": told, required: field.required, value };
  if (field.kind === "choice") {
    return (
      <select {...common} onChange={(event) => onChange(event.currentTarget.value)}>
        {field.options?.map(([option, label]) => <option key={option} value={option}>{label}</option>)}
      </select>
    );
  }
  if (field.kind === "area" || field.kind === "json") {
    return (
      <textarea {...common} rows={field.rows ?? 4} class={field.kind === "json" ? "mono" : ""} spellcheck={field.kind !== "json"}
        onInput={(event) => onChange(event.currentTarget.value)} />
    );
  }
  return <input {...common} type={(field.kind ?? "text") as "text"} autocomplete="off" onInput={(event) => onChange(event.currentTarget.value)} />;
}

/** The lines of a field that are not empty. */
export function lines(text = ""): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

/** The JSON of a field. Throws ApiError, which names the field. */
export function json(field: string, text: string): any {
  try {
    return text.trim() ? JSON.parse(text) : undefined;
  } catch (error) {
    throw new ApiError(400, "invalid_request", `${words.value.notJson} ${String(error)}`, field);
  }
}
