/** One pipeline: its graph, each step as a form beside it, and a run whose steps are marked in the graph as they go. */

import { useLocation, useRoute } from "preact-iso";
import { useEffect, useState } from "preact/hooks";
import { to } from "../../address";
import { api, ApiError, need, type Schemas } from "../../api";
import { ErrorNote, Field, Loading, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { useLoad } from "../../parts/load";
import { failed, told } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";
import { type Definition, type Graph, graphOf, NEW } from "./definition";
import { GraphView, type Marks } from "./graph-view";
import { RunPane } from "./run-pane";
import { AddStep, StepForm } from "./step-form";

type Loaded = { pipeline: Schemas["PipelineDetailOut"] | null; graph: Graph | null };

export default function PipelinePage() {
  const w = words.value.pipelines;
  const id = useRoute().params.pipeline ?? "";
  const { data, error, reload } = useLoad(() => read(id), [id]);
  return (
    <div class="page">
      <p><a href={to("pipelines")}>{w.back}</a></p>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && (data.graph ? <BuiltIn {...data} graph={data.graph} /> : <Editor key={id} id={id} pipeline={data.pipeline} />)}
    </div>
  );
}

async function read(id: string): Promise<Loaded> {
  if (id === "new") return { pipeline: null, graph: null };
  const path = { params: { path: { pipeline: id } } };
  const pipeline = await need(api.GET("/api/pipelines/{pipeline}", path));
  if (pipeline.definition) return { pipeline, graph: null };
  const { nodes, edges } = (await need(api.GET("/api/pipelines/{pipeline}/topology", path))) as Schemas["TopologyOut"];
  return { pipeline, graph: { nodes, edges: edges as Graph["edges"] } };
}

function BuiltIn({ pipeline, graph }: { pipeline: Loaded["pipeline"]; graph: Graph }) {
  const [marks, setMarks] = useState<Marks>({});
  if (!pipeline) return null;
  return (
    <>
      <PageTitle text={pipeline.name} />
      <p>{pipeline.description}</p>
      <div class="beside">
        <GraphView graph={graph} marks={marks} />
        {may("pipelines.run") && <RunPane id={pipeline.name} needsAgent={pipeline.needs_agent} onMarks={setMarks} />}
      </div>
    </>
  );
}

function Editor({ id, pipeline }: { id: string; pipeline: Loaded["pipeline"] }) {
  const w = words.value.pipelines;
  const { route } = useLocation();
  const [draft, setDraft] = useState<Definition>((pipeline?.definition as Definition | null) ?? NEW);
  const [saved, setSaved] = useState(pipeline ? JSON.stringify(draft) : "");
  const [selected, setSelected] = useState(draft.start);
  const [marks, setMarks] = useState<Marks>({});
  const [error, setError] = useState<unknown>();
  const changed = JSON.stringify(draft) !== saved;
  useEffect(() => (changed && pipeline ? warnOnLeave() : undefined), [changed]);
  const wrong = error instanceof ApiError && error.field ? { field: error.field, message: error.message } : undefined;
  useEffect(() => {
    const step = /^steps\.([^.[]+)/.exec(wrong?.field ?? "")?.[1];
    if (step && draft.steps[step]) setSelected(step);
  }, [error]);
  const save = async () => {
    setError(undefined);
    const body = draft as Schemas["PipelineIn"];
    try {
      const done = pipeline
        ? await need(api.PUT("/api/pipelines/{pipeline}", { params: { path: { pipeline: id } }, body }))
        : await need(api.POST("/api/pipelines", { body }));
      setSaved(JSON.stringify(draft));
      told(w.saved);
      if (!pipeline) route(to(`pipelines/${done.id}`), true);
    } catch (problem) {
      setError(problem);
    }
  };
  const remove = async () => {
    if (!(await confirmed(words.value.confirmRemove(draft.name), words.value.remove))) return;
    await need(api.DELETE("/api/pipelines/{pipeline}", { params: { path: { pipeline: id } } }));
    route(to("pipelines"), true);
  };
  const removeStep = () => {
    const { [selected]: _, ...steps } = draft.steps;
    setDraft({ ...draft, steps });
    setSelected(Object.keys(steps)[0] ?? "");
  };
  const mayChange = may("pipelines.manage");
  return (
    <>
      <PageTitle text={pipeline ? draft.name : w.make}>
        {mayChange && <button type="button" class="button primary" disabled={!changed} onClick={save}>{words.value.save}</button>}
        {mayChange && pipeline && <button type="button" class="button danger" onClick={() => remove().catch(failed)}>{words.value.remove}</button>}
      </PageTitle>
      {error !== undefined && <ErrorNote error={error} />}
      <div class="beside">
        <GraphView graph={graphOf(draft)} marks={marks} selected={selected} onSelect={setSelected} />
        <div>
          {mayChange && <Head draft={draft} onChange={setDraft} isNew={!pipeline} />}
          {mayChange && <AddStep definition={draft} onAdd={(name, step) => { setDraft({ ...draft, steps: { ...draft.steps, [name]: step } }); setSelected(name); }} />}
          {draft.steps[selected] && mayChange && (
            <section class="card">
              <h2>{selected} <span class="soft">{w.kinds[draft.steps[selected].kind]}</span></h2>
              <StepForm key={selected} definition={draft} name={selected} wrong={wrong} onChange={setDraft} />
              <button type="button" class="link" onClick={removeStep}>{w.removeStep(selected)}</button>
            </section>
          )}
          {pipeline && may("pipelines.run") && <RunPane id={id} disabled={changed} onMarks={setMarks} />}
        </div>
      </div>
    </>
  );
}

function Head({ draft, isNew, onChange }: { draft: Definition; isNew: boolean; onChange: (draft: Definition) => void }) {
  const w = words.value.pipelines;
  return (
    <>
      {isNew && (
        <Field label={words.value.name}>
          {(id) => <input id={id} required maxLength={64} value={draft.name} onInput={(event) => onChange({ ...draft, name: event.currentTarget.value })} />}
        </Field>
      )}
      <Field label={w.description}>
        {(id) => <input id={id} maxLength={2000} value={draft.description ?? ""} onInput={(event) => onChange({ ...draft, description: event.currentTarget.value })} />}
      </Field>
      <Field label={w.start}>
        {(id) => (
          <select id={id} value={draft.start} onChange={(event) => onChange({ ...draft, start: event.currentTarget.value })}>
            {Object.keys(draft.steps).map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        )}
      </Field>
    </>
  );
}

/** Has the browser ask before a tab with changes is closed. */
function warnOnLeave(): () => void {
  const ask = (event: BeforeUnloadEvent) => event.preventDefault();
  addEventListener("beforeunload", ask);
  return () => removeEventListener("beforeunload", ask);
}
