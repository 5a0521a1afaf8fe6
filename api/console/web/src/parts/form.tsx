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
  kind?: "text" | "email" | "password" | "url" | "number" | "area" | "json" | "choice";
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

export function FormDialog({ title, fields, values: initial = {}, button, wide, onSend, onClose, children }: FormProps) {
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
      .then((stays) => stays === true || onClose(), setError)
      .finally(() => setBusy(false));
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form onSubmit={submit}>
        {fields.map((field) => (
          <Field key={field.name} label={field.label} hint={field.hint}
            error={field.name === wrong && error instanceof Error ? error.message : undefined}>
            {(id, told) => (
              <Control id={id} told={told} field={field} value={values[field.name] ?? ""}
                onChange={(value) => setValues((old) => ({ ...old, [field.name]: value }))} />
            )}
          </Field>
        ))}
        {children}
        {error !== undefined && !beside && <ErrorNote error={error} />}
        <div class="dialog-actions">
          <button type="button" class="button" onClick={onClose}>{words.value.cancel}</button>
          <button type="submit" class="button primary" disabled={busy}>{button}</button>
        </div>
      </form>
    </Dialog>
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
