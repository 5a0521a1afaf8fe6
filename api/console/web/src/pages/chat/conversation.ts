/** One conversation: its messages, what is being answered, and asking. It outlives the page's parts, so drafts and streams do too. */

import { signal } from "@preact/signals";
import { api, need, type Schemas } from "../../api";
import { follow } from "../../stream";
import { Answer, type AnswerState, isLast } from "./answer";

type Message = Schemas["MessageOut"];
export type Part = { type: string; text?: string; name?: string; image_url?: { url: string }; [name: string]: unknown };
export type Turn = { key: string; jobId: string; question: Part[]; questionId: string | null; answer: Answer; before: string | null };
export type Attachment = { name: string; data: string; size: number };
export type Choice = { agent: string; model: string; collections: string[] };

const ACTIVE = ["queued", "running"] as const;
const PAGE = 100;

/** Tells the other tabs of this browser that a conversation has changed. */
const channel = new BroadcastChannel("headrace.sessions");
export const sessionsChanged = signal(0);

let current: Conversation | null = null;

/** The conversation with this id; the same object while it stays the current one. An empty id begins a new one. */
export function open(id: string): Conversation {
  if (current && (current.id.value === id || (!id && current.isNew))) return current;
  current?.close();
  current = new Conversation(id);
  if (id) current.ready = current.load();
  return current;
}

/** Leaves the current conversation, so that the next one is new. */
export function leave(): void {
  current?.close();
  current = null;
}

channel.onmessage = ({ data }) => {
  sessionsChanged.value += 1;
  if (current && data === current.id.value) void current.load();
};

export function textOf(parts: Part[]): string {
  return parts.filter((part) => part.type === "text").map((part) => part.text ?? "").join("\n\n");
}

export class Conversation {
  readonly id = signal("");
  readonly turns = signal<Turn[]>([]);
  readonly loading = signal(false);
  readonly error = signal<unknown>(undefined);
  readonly connected = signal(true);
  readonly key = crypto.randomUUID();
  /** Whether the page's address does not name it yet. */
  isNew: boolean;
  /** When the messages have been read. */
  ready: Promise<void> = Promise.resolve();
  private closing = new AbortController();
  private following = new Set<string>();

  constructor(id: string) {
    this.id.value = id;
    this.isNew = !id;
  }

  close(): void {
    this.closing.abort();
  }

  /** Reads the messages, and follows the jobs that are not done: a reload goes on where the answer is. */
  async load(): Promise<void> {
    this.loading.value = this.turns.value.length === 0;
    this.error.value = undefined;
    try {
      const session_id = this.id.value;
      const query = { session_id, state: [...ACTIVE], limit: 50 };
      const [active, messages] = await Promise.all([need(api.GET("/api/jobs", { params: { query } })), readMessages(session_id)]);
      const running = new Map(active.items.map((job) => [job.id, job.state]));
      this.turns.value = this.merge(turnsOf(messages, new Set(running.keys())));
      for (const turn of this.turns.value) if (running.has(turn.jobId)) void this.followJob(turn.answer);
    } catch (error) {
      this.error.value = error;
    } finally {
      this.loading.value = false;
    }
  }

  /** Keeps the answers that this page streams already, or has in full. */
  private merge(read: Turn[]): Turn[] {
    const known = new Map(this.turns.value.map((turn) => [turn.jobId, turn]));
    const found = read.map((turn) => {
      const old = known.get(turn.jobId);
      known.delete(turn.jobId);
      return old ? { ...turn, key: old.key, answer: old.answer } : turn;
    });
    return [...found, ...[...known.values()].filter((turn) => isActive(turn.answer.state.value))];
  }

  /** Asks; the turn is shown at once, and taken back if it is refused. Throws ApiError. */
  async ask(text: string, attachments: Attachment[], choice: Choice): Promise<void> {
    const key = crypto.randomUUID();
    const question: Part[] = [
      ...(text ? [{ type: "text", text }] : []),
      ...attachments.map((one) => ({ type: "file", name: one.name })),
    ];
    const before = this.turns.value.at(-1)?.answer.messageId.value ?? null;
    const turn: Turn = { key, jobId: key, question, questionId: null, answer: new Answer(key), before };
    this.turns.value = [...this.turns.value, turn];
    try {
      const accepted = await this.submit(key, text, attachments, choice);
      const answer = new Answer(accepted.job_id);
      answer.model.value = choice.model || null;
      this.turns.value = this.turns.value.map((old) => (old.key === key ? { ...turn, jobId: accepted.job_id, answer } : old));
      this.id.value = accepted.session_id ?? this.id.value;
      void this.followJob(answer);
      this.announce();
    } catch (error) {
      this.turns.value = this.turns.value.filter((old) => old.key !== key);
      throw error;
    }
  }

  private async submit(key: string, text: string, attachments: Attachment[], choice: Choice) {
    const body: Partial<Schemas["ChatIn"]> = {
      message: text,
      ...(this.id.value ? { session_id: this.id.value } : {}),
      ...(choice.agent ? { agent: choice.agent } : {}),
      ...(choice.model ? { model: choice.model } : {}),
      ...(choice.collections.length ? { collections: choice.collections } : {}),
      ...(attachments.length ? { attachments: attachments.map(({ name, data }) => ({ name, data })) } : {}),
    };
    const headers = { Prefer: "respond-async", "Idempotency-Key": key };
    return need(api.POST("/api/chat", { body, headers } as any) as any) as Promise<Schemas["AcceptedOut"]>;
  }

  private async followJob(answer: Answer): Promise<void> {
    if (this.following.has(answer.jobId)) return;
    this.following.add(answer.jobId);
    try {
      await follow({
        path: `/api/jobs/${answer.jobId}/events`,
        signal: this.closing.signal,
        onConnection: (connected) => (this.connected.value = connected),
        onEvent: (event) => answer.take(event),
        isLast,
      });
    } catch (error) {
      this.error.value = error;
    }
    this.following.delete(answer.jobId);
    if (!this.closing.signal.aborted) this.announce();
  }

  async stop(): Promise<void> {
    const running = this.turns.value.filter((turn) => isActive(turn.answer.state.value));
    await Promise.all(
      running.map((turn) =>
        need(api.POST("/api/jobs/{job_id}/cancel", { params: { path: { job_id: turn.jobId } }, body: { mode: "keep" } })),
      ),
    );
  }

  private announce(): void {
    sessionsChanged.value += 1;
    channel.postMessage(this.id.value);
  }
}

export function isActive(state: AnswerState): boolean {
  return state === "waiting" || state === "running";
}

async function readMessages(session_id: string): Promise<Message[]> {
  const found: Message[] = [];
  let cursor: string | undefined;
  do {
    const params = { path: { session_id }, query: { limit: PAGE, ...(cursor ? { cursor } : {}) } };
    const page = await need(api.GET("/api/sessions/{session_id}/messages", { params }));
    found.push(...page.items);
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return found;
}

/** Pairs questions with their answers; a question whose job has not ended has an answer that is still empty. */
export function turnsOf(messages: Message[], active: Set<string>): Turn[] {
  const turns: Turn[] = [];
  let before: string | null = null;
  for (const message of messages) {
    const last = turns.at(-1);
    if (message.role === "user") {
      const jobId = message.job_id ?? message.id;
      const answer = new Answer(jobId);
      if (!active.has(jobId)) answer.state.value = "failed";
      turns.push({ key: message.id, jobId, question: message.parts as Part[], questionId: message.id, answer, before });
    } else if (message.role === "assistant" && last) {
      fill(last.answer, message);
      before = message.id;
    }
  }
  return turns;
}

function fill(answer: Answer, message: Message): void {
  answer.text.value = textOf(message.parts as Part[]);
  answer.state.value = message.status === "completed" ? "succeeded" : "cancelled";
  answer.messageId.value = message.id;
  answer.agent.value = message.agent;
  answer.model.value = message.model;
  answer.notice.value = message.notice ?? null;
  answer.citations.value = (message.citations ?? []) as any;
  answer.usage.value = message.usage as any;
  if (message.data != null) answer.data.value = { value: message.data, renderer: message.renderer };
}
