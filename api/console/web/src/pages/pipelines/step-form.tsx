/** The fields of one step of a pipeline. What is typed is drawn at once, and checked when the pipeline is saved. */

import { useState } from "preact/hooks";
import { Field } from "../../parts/basics";
import { words } from "../../words";
import { type Definition, KINDS, newStep, type Step, type StepKind } from "./definition";

type StepProps = { definition: Definition; name: string; wrong?: { field: string; message: string }; onChange: (definition: Definition) => void };

export function StepForm({ definition, name, wrong, onChange }: StepProps) {
  const w = words.value.pipelines;
  const step = definition.steps[name];
  const put = (changed: Partial<Step>) => onChange({ ...definition, steps: { ...definition.steps, [name]: { ...step, ...changed } as Step } });
  const others = Object.keys(definition.steps).filter((one) => one !== name);
  const errorOf = (field: string) => (wrong?.field.startsWith(`steps.${name}.${field}`) ? wrong.message : undefined);
  const text = (field: string, label: string, area = false, hint = "") => (
    <Field key={field} label={label} hint={hint} error={errorOf(field)}>
      {(id, told) => area
        ? <textarea id={id} aria-describedby={told} rows={4} value={step[field] ?? ""} onInput={(event) => put({ [field]: event.currentTarget.value })} />
        : <input id={id} aria-describedby={told} value={step[field] ?? ""} onInput={(event) => put({ [field]: event.currentTarget.value || undefined })} />}
    </Field>
  );
  const target = (field: string, label: string, none = true) => (
    <Field key={field} label={label} error={errorOf(field)}>
      {(id) => (
        <select id={id} value={step[field] ?? ""} onChange={(event) => put({ [field]: event.currentTarget.value || undefined })}>
          {none && <option value="">{w.ends.end}</option>}
          {others.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      )}
    </Field>
  );
  const kind: Record<StepKind, () => preact.ComponentChildren> = {
    prompt: () => [text("prompt", w.prompt, true, w.textHint), text("model", words.value.chat.model, false, w.modelHint), target("next", w.next)],
    agent: () => [text("agent", words.value.chat.agent, false, w.agentHint), text("input", w.input, true, w.textHint), target("next", w.next)],
    tool: () => [text("tool", w.tool), <JsonField key="arguments" field="arguments" label={words.value.chat.arguments} step={step} error={errorOf("arguments")} onChange={put} />, target("next", w.next)],
    router: () => [text("by", w.by, true, w.byHint), <JsonField key="cases" field="cases" label={w.cases} hint={w.casesHint} step={step} error={errorOf("cases")} onChange={put} />, target("otherwise", w.otherwise, false)],
    parallel: () => [<JsonField key="branches" field="branches" label={w.branches} hint={w.branchesHint} step={step} error={errorOf("branches")} onChange={put} />, target("next", w.next)],
  };
  return <div key={name}>{kind[step.kind]?.()}</div>;
}

type JsonProps = { field: string; label: string; hint?: string; step: Step; error?: string; onChange: (changed: Partial<Step>) => void };

/** A part of a step that is an object: it takes effect as soon as what is typed is one. */
function JsonField({ field, label, hint, step, error, onChange }: JsonProps) {
  const [typed, setTyped] = useState(JSON.stringify(step[field] ?? {}, null, 2));
  const [broken, setBroken] = useState("");
  const change = (text: string) => {
    setTyped(text);
    try {
      onChange({ [field]: JSON.parse(text) });
      setBroken("");
    } catch (problem) {
      setBroken(`${words.value.notJson} ${String(problem)}`);
    }
  };
  return (
    <Field label={label} hint={hint} error={broken || error}>
      {(id, told) => <textarea id={id} aria-describedby={told} class="mono" rows={5} spellcheck={false} value={typed} onInput={(event) => change(event.currentTarget.value)} />}
    </Field>
  );
}

/** A new step, by its name and kind. */
export function AddStep({ definition, onAdd }: { definition: Definition; onAdd: (name: string, step: Step) => void }) {
  const w = words.value.pipelines;
  const [name, setName] = useState("");
  const [kind, setKind] = useState<StepKind>("prompt");
  const add = (event: Event) => {
    event.preventDefault();
    if (!name.trim() || definition.steps[name.trim()]) return;
    onAdd(name.trim(), newStep(kind, Object.keys(definition.steps)[0] ?? ""));
    setName("");
  };
  return (
    <form class="filters" onSubmit={add}>
      <input aria-label={w.stepName} placeholder={w.stepName} pattern="[A-Za-z][A-Za-z0-9_\-]*" value={name} onInput={(event) => setName(event.currentTarget.value)} />
      <select aria-label={words.value.jobs.kind} value={kind} onChange={(event) => setKind(event.currentTarget.value as StepKind)}>
        {KINDS.map((one) => <option key={one} value={one}>{w.kinds[one]}</option>)}
      </select>
      <button type="submit" class="button" disabled={!name.trim()}>{w.addStep}</button>
    </form>
  );
}
