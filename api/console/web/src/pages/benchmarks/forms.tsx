/** What is measured: the speed of models, or how many questions of a data set come out right. */

import { useEffect, useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { FormDialog, lines, type Values } from "../../parts/form";
import { words } from "../../words";

type FormProps = { onClose: () => void; onMade: (id: string) => void };

export function BenchmarkForm({ onClose, onMade }: FormProps) {
  const w = words.value.benchmarks;
  const save = async (values: Values) => {
    const models = lines(values.models);
    const prompts = lines(values.prompts);
    const body = {
      ...(models.length ? { models } : {}), ...(prompts.length ? { prompts } : {}),
      iterations: Number(values.iterations), concurrency: Number(values.concurrency), max_tokens: Number(values.max_tokens),
    };
    const headers = { Prefer: "respond-async" };
    const accepted = (await need(api.POST("/api/benchmark/llm", { body, headers } as any) as any)) as Schemas["AcceptedOut"];
    onMade(accepted.job_id);
  };
  return (
    <FormDialog title={w.make} button={w.start} onClose={onClose} onSend={save} values={{ iterations: "10", concurrency: "1", max_tokens: "128" }}
      fields={[
        { name: "models", label: w.models, kind: "area", rows: 3, hint: w.modelsHint },
        { name: "prompts", label: w.prompts, kind: "area", rows: 3, hint: w.promptsHint },
        { name: "iterations", label: w.iterations, kind: "number", required: true },
        { name: "concurrency", label: w.concurrency, kind: "number", required: true },
        { name: "max_tokens", label: w.maxTokens, kind: "number", required: true },
      ]} />
  );
}

export function QualityForm({ onClose, onMade }: FormProps) {
  const w = words.value.benchmarks;
  const [datasets, setDatasets] = useState<string[]>();
  useEffect(() => {
    need(api.GET("/api/datasets", { params: { query: { limit: 100 } } })).then(({ items }) => setDatasets(items.map((one) => one.name)), () => setDatasets([]));
  }, []);
  const save = async ({ dataset, measure, model, questions = "" }: Values) => {
    const name = dataset || "questions";
    if (questions.trim()) await need(api.POST("/api/datasets", { body: { name, jsonl: questions } }));
    const body = { dataset: name, measure, ...(model ? { model } : {}) } as Schemas["QualityIn"];
    onMade((await need(api.POST("/api/benchmark/quality", { body } as any) as any) as Schemas["AcceptedOut"]).job_id);
  };
  return (
    <FormDialog wide title={w.makeQuality} button={w.start} onClose={onClose} onSend={save} values={{ dataset: datasets?.[0] ?? "", measure: "routing" }}
      fields={[
        { name: "dataset", label: w.dataset, hint: datasets?.length ? w.datasetKnown(datasets.join(", ")) : w.datasetHint },
        { name: "measure", label: w.measure, kind: "choice", options: Object.entries(w.measures) },
        { name: "model", label: words.value.chat.model, hint: w.modelHint },
        { name: "questions", label: w.questions, kind: "json", rows: 5, hint: w.questionsHint },
      ]} />
  );
}
