/** One answer as its events build it: text, reasoning, steps, sources, cost. What a lost attempt wrote is dropped. */

import { batch, signal } from "@preact/signals";
import type { StreamEvent } from "../../stream";

export type Citation = {
  number: number | null;
  document_id: string;
  document: string;
  page: number | null;
  heading: string | null;
  passage: string;
  score: number | null;
};
export type Step = { id: string; name: string; arguments: unknown; output?: string; ok?: boolean; duration_ms?: number };
export type Usage = { input_tokens: number; output_tokens: number; estimated: boolean; cost_usd?: number };
export type AnswerState = "waiting" | "running" | "succeeded" | "failed" | "cancelled";
export type Score = { agent: string; score: number };
export type Notice = { code: string; message: string };

const LAST = { "job.succeeded": "succeeded", "job.failed": "failed", "job.cancelled": "cancelled" } as const;

export function isLast(event: StreamEvent): boolean {
  return event.type in LAST;
}

export class Answer {
  readonly text = signal("");
  readonly reasoning = signal("");
  readonly state = signal<AnswerState>("waiting");
  readonly steps = signal<Step[]>([]);
  readonly plan = signal<string[]>([]);
  readonly citations = signal<Citation[]>([]);
  readonly agent = signal<string | null>(null);
  readonly reason = signal("");
  readonly scores = signal<Score[]>([]);
  readonly model = signal<string | null>(null);
  readonly usage = signal<Usage | null>(null);
  readonly error = signal<{ code: string; message: string } | null>(null);
  readonly restarted = signal(false);
  readonly notice = signal<Notice | null>(null);
  readonly cached = signal(false);
  readonly messageId = signal<string | null>(null);
  readonly progress = signal("");
  readonly data = signal<{ value: unknown; renderer: any } | null>(null);
  readonly times = signal<{ started: string | null; ended: string | null; first: string | null }>({ started: null, ended: null, first: null });

  /** How long text and reasoning were after each event, to go back to. */
  private marks: [seq: number, text: number, reasoning: number][] = [];

  constructor(readonly jobId: string) {}

  take(event: StreamEvent): void {
    batch(() => this.apply(event.type, event.data));
  }

  private apply(type: string, data: any): void {
    if (type in LAST) {
      this.state.value = LAST[type as keyof typeof LAST];
      this.times.value = { ...this.times.value, ended: data.at };
      if (type === "job.failed") this.error.value = data.error;
      return;
    }
    switch (type) {
      case "job.queued":
        this.model.value = data.model ?? null;
        break;
      case "job.started":
        this.state.value = "running";
        this.times.value = { ...this.times.value, started: data.at };
        break;
      case "job.progress":
        this.progress.value = data.text;
        break;
      case "job.restarted":
        this.restart(data.discard_after);
        break;
      case "agent.routed":
        this.agent.value = data.agent;
        this.reason.value = data.reason ?? "";
        this.scores.value = data.scores ?? [];
        break;
      case "plan.created":
        this.plan.value = data.steps;
        break;
      case "reasoning.delta":
        this.reasoning.value += data.text;
        this.mark(data.seq);
        break;
      case "message.delta":
        if (!this.times.value.first) this.times.value = { ...this.times.value, first: data.at };
        this.text.value += data.text || data.refusal || "";
        this.mark(data.seq);
        break;
      case "tool.started":
        this.putStep({ id: data.call_id, name: data.name, arguments: data.arguments });
        break;
      case "tool.finished":
        this.putStep({ id: data.call_id, name: data.name, arguments: this.stepOf(data.call_id)?.arguments, ...data });
        break;
      case "citation.added":
        this.addCitation(data);
        break;
      case "message.completed":
        this.complete(data);
        break;
      case "usage.recorded":
        this.model.value = data.model;
        this.usage.value = data;
        break;
    }
  }

  private restart(discardAfter: number): void {
    const kept = this.marks.filter(([seq]) => seq <= discardAfter);
    const [, text, reasoning] = kept[kept.length - 1] ?? [0, 0, 0];
    this.marks = kept;
    this.text.value = this.text.value.slice(0, text);
    this.reasoning.value = this.reasoning.value.slice(0, reasoning);
    this.restarted.value = true;
    this.state.value = "running";
  }

  private complete(data: any): void {
    this.text.value = data.text || data.refusal || "";
    this.messageId.value = data.message_id ?? null;
    this.agent.value = data.agent ?? this.agent.value;
    this.notice.value = data.notice ?? null;
    this.cached.value = data.cached ?? false;
    if (data.citations) this.citations.value = data.citations;
    if (data.data) this.data.value = { value: data.data, renderer: data.renderer };
    this.progress.value = "";
  }

  private mark(seq: number): void {
    this.marks.push([seq, this.text.value.length, this.reasoning.value.length]);
  }

  private stepOf(id: string): Step | undefined {
    return this.steps.value.find((step) => step.id === id);
  }

  private putStep(step: Step): void {
    const known = this.stepOf(step.id) !== undefined;
    this.steps.value = known ? this.steps.value.map((old) => (old.id === step.id ? step : old)) : [...this.steps.value, step];
  }

  private addCitation(found: Citation): void {
    if (this.citations.value.some((old) => old.number === found.number && old.passage === found.passage)) return;
    this.citations.value = [...this.citations.value, found];
  }
}
