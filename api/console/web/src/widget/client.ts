/** Calls of the widget: with its public key in the path, and the secret of this visitor's conversation, which the page keeps. */

export type Said = { role: string; text: string; complete: boolean };
export type Told = { id: string; type: string; data: any };

/** A refusal; 0 is that nobody answered. */
export class Refused extends Error {
  constructor(readonly status: number, readonly code = "") {
    super(`refused: ${status}`);
  }
}

const LAST = new Set(["ended", "stopped", "failed"]);
const LONGEST_PAUSE_MS = 10_000;

export class Client {
  private readonly storage: string;

  /** `root` is the address of `/api/embed/`. */
  constructor(private readonly root: string, private readonly key: string) {
    this.storage = `headrace.widget.${key}`;
  }

  get visit(): string {
    return recall(this.storage);
  }

  forget(): void {
    remember(this.storage, "");
  }

  opened(): Promise<{ title: string; greeting: string }> {
    return this.call("").then((answer) => answer.json());
  }

  said(): Promise<{ items: Said[]; answering: boolean }> {
    return this.call("/messages").then((answer) => answer.json());
  }

  async stop(): Promise<void> {
    await this.call("/stop", { method: "POST" });
  }

  /** Asks, and tells what comes until the end, also over a connection that breaks. A conversation that is over begins anew. */
  async ask(text: string, tell: (told: Told) => void): Promise<void> {
    const send = () => this.call("/messages", { method: "POST", body: JSON.stringify({ text }), headers: { "Content-Type": "application/json" } });
    const answer = await send().catch((error) => {
      if (!(error instanceof Refused) || error.status !== 401 || !this.visit) throw error;
      this.forget();
      return send();
    });
    await this.follow(tell, answer);
  }

  /** Tells what comes of the answer that is being written. */
  async follow(tell: (told: Told) => void, first?: Response): Promise<void> {
    let [last, pause, ended] = ["", 500, false];
    const seen = (told: Told) => {
      last = told.id || last;
      pause = 500;
      if (told.type === "opened") return remember(this.storage, told.data.visit);
      ended ||= LAST.has(told.type);
      tell(told);
    };
    for (let answer = first; ; answer = undefined) {
      try {
        answer ??= await this.call("/events", { headers: last ? { "Last-Event-ID": last } : {} });
        if (answer.status === 204) return;
        await read(answer, seen);
      } catch (error) {
        if (error instanceof Refused && error.status > 0 && error.status < 500 && error.status !== 429) throw error;
      }
      if (ended) return;
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  private async call(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const secret = this.visit;
    const headers = { ...init.headers, ...(secret ? { Authorization: `Bearer ${secret}` } : {}) };
    let answer: Response;
    try {
      answer = await fetch(`${this.root}${this.key}${path}`, { ...init, headers, credentials: "omit", cache: "no-store" });
    } catch {
      throw new Refused(0);
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.code);
  }
}

/** Reads the events of a stream as they come. */
async function read(answer: Response, seen: (told: Told) => void): Promise<void> {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let waiting = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (waiting + value).split("\n\n");
    waiting = frames.pop() ?? "";
    for (const frame of frames) {
      const told: Told = { id: "", type: "", data: null };
      for (const line of frame.split("\n")) {
        if (line.startsWith("id: ")) told.id = line.slice(4);
        else if (line.startsWith("event: ")) told.type = line.slice(7);
        else if (line.startsWith("data: ")) told.data = JSON.parse(line.slice(6));
      }
      if (told.type) seen(told);
    }
  }
}

export function recall(name: string): string {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return kept.get(name) ?? "";
  }
}

export function remember(name: string, value: string): void {
  try {
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch {
    kept.set(name, value); // storage is switched off: until the page is left
  }
}

const kept = new Map<string, string>();
