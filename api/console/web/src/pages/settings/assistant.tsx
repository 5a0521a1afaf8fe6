/** What all agents of the organisation share: a persona, which tools are off, and how long answers are kept for reuse. */

import { useEffect, useState } from "preact/hooks";
import { api, ApiError, need, type Schemas } from "../../api";
import { ErrorNote, Field, Loading, PageTitle } from "../../parts/basics";
import { lines } from "../../parts/form";
import { useLoad } from "../../parts/load";
import { told } from "../../parts/toasts";
import { words } from "../../words";

type Configuration = Schemas["ConfigurationOut"];
type Draft = { system_prompt: string; traits: string; style: string; disabled_tools: string; offered_tools: string; cache_s: string };

export default function AssistantPage() {
  const w = words.value.assistant;
  const { data, error, reload } = useLoad(() => need(api.GET("/api/admin/configuration")), []);
  return (
    <div class="page">
      <PageTitle text={w.title} />
      <p class="hint">{w.hint}</p>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && <Form key={data.updated_at ?? ""} found={data} onSaved={reload} />}
    </div>
  );
}

function Form({ found, onSaved }: { found: Configuration; onSaved: () => void }) {
  const w = words.value.assistant;
  const [draft, setDraft] = useState<Draft>(() => draftOf(found));
  const [error, setError] = useState<unknown>();
  useEffect(() => setError(undefined), [found]);
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      const now = await need(api.GET("/api/admin/configuration"));
      if (now.updated_at !== found.updated_at && error === undefined) throw new Error(w.changedBy(now.updated_by ?? "–"));
      await need(api.PATCH("/api/admin/configuration", { body: bodyOf(draft) }));
      told(words.value.saved);
      onSaved();
    } catch (problem) {
      setError(problem);
    }
  };
  const wrong = error instanceof ApiError ? error.field?.split(".").at(-1)?.split("[")[0] : undefined;
  const field = (name: keyof Draft, label: string, hint: string, rows = 0) => (
    <Field key={name} label={label} hint={hint} error={wrong === name && error instanceof Error ? error.message : undefined}>
      {(id, toldBy) => rows
        ? <textarea id={id} aria-describedby={toldBy} rows={rows} value={draft[name]} onInput={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })} />
        : <input id={id} aria-describedby={toldBy} value={draft[name]} onInput={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })} />}
    </Field>
  );
  return (
    <form class="narrow" onSubmit={save}>
      {field("system_prompt", w.prompt, w.promptHint, 6)}
      {field("style", w.style, w.styleHint)}
      {field("traits", w.traits, words.value.agents.linesHint, 3)}
      {field("disabled_tools", w.disabled, words.value.agents.linesHint, 3)}
      {field("offered_tools", w.offered, w.offeredHint)}
      {field("cache_s", w.cache, w.cacheHint)}
      {error !== undefined && !wrong && <ErrorNote error={error} />}
      <div class="dialog-actions"><button type="submit" class="button primary">{words.value.save}</button></div>
    </form>
  );
}

function draftOf({ persona, disabled_tools, offered_tools, cache_s }: Configuration): Draft {
  return {
    system_prompt: persona?.system_prompt ?? "", style: persona?.style ?? "", traits: (persona?.traits ?? []).join("\n"),
    disabled_tools: (disabled_tools ?? []).join("\n"), offered_tools: String(offered_tools ?? 5), cache_s: cache_s == null ? "" : String(cache_s),
  };
}

function bodyOf(draft: Draft): Schemas["ConfigurationIn"] {
  return {
    persona: { system_prompt: draft.system_prompt, style: draft.style, traits: lines(draft.traits) },
    disabled_tools: lines(draft.disabled_tools), offered_tools: Number(draft.offered_tools), cache_s: draft.cache_s.trim() ? Number(draft.cache_s) : null,
  } as Schemas["ConfigurationIn"];
}
