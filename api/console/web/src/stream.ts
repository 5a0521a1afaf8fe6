/** Follows a stream of Server-Sent Events: goes on after the last event when the connection breaks, rests while the tab is hidden.
 *
 * A browser has six connections to a server over all its tabs, so a hidden tab gives its own back.
 */

import { batch } from "@preact/signals";
import { createParser } from "eventsource-parser";
import { errorOf, signedOut } from "./api";
import { ORIGIN } from "./address";

export type StreamEvent = { id: string; type: string; data: any };
export type StreamOptions = {
  path: string;
  onEvent: (event: StreamEvent) => void;
  onConnection?: (connected: boolean) => void;
  /** Whether this event is the last one. */
  isLast?: (event: StreamEvent) => boolean;
  signal: AbortSignal;
  after?: string;
};

/** Events are told at most this often, all that have come at once: a task for each token costs more than drawing it. */
const PAUSE_MS = 50;
const HIDDEN_PATIENCE_MS = 5_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** Follows until the last event, or until `signal` aborts. Throws ApiError when the server refuses for good. */
export async function follow(options: StreamOptions): Promise<void> {
  let last = options.after ?? "";
  let pause = FIRST_PAUSE_MS;
  while (!options.signal.aborted) {
    await visible(options.signal);
    let came = false;
    const ended = await readOnce(options, last, (event) => {
      came = true;
      if (event.id) last = event.id;
    });
    if (ended || options.signal.aborted) return;
    if (document.hidden) continue;
    if (came) pause = FIRST_PAUSE_MS;
    else options.onConnection?.(false);
    await rest(pause * (0.75 + Math.random() / 2), options.signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** Reads one connection; returns whether there is nothing more to come. */
async function readOnce(options: StreamOptions, last: string, seen: (event: StreamEvent) => void): Promise<boolean> {
  const closing = new AbortController();
  const close = () => closing.abort();
  options.signal.addEventListener("abort", close);
  const unwatch = whenHidden(close);
  try {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (last) headers["Last-Event-ID"] = last;
    const response = await fetch(ORIGIN + options.path, { headers, signal: closing.signal });
    if (response.status === 204) return true;
    if (!response.ok || !response.body) return await refused(response);
    options.onConnection?.(true);
    return await readEvents(response.body, options, seen);
  } catch (error) {
    if (error instanceof TypeError || (error instanceof DOMException && error.name === "AbortError")) return false;
    throw error;
  } finally {
    closing.abort();
    unwatch();
    options.signal.removeEventListener("abort", close);
  }
}

/** Reads the events of a body; returns whether the last one was among them. Each piece is taken from the network at once: the browser
 * hands over one piece a read, so a page that rests between reads falls behind the model. What the pieces say is told together. */
async function readEvents(body: ReadableStream<Uint8Array>, options: StreamOptions, seen: (event: StreamEvent) => void): Promise<boolean> {
  let ended: boolean | undefined;
  const parser = createParser({
    onEvent: ({ id = "", event: type = "message", data }) => {
      if (ended !== undefined) return;
      const event = { id, type, data: JSON.parse(data || "null") };
      if (type === "stream.closed") return void (ended = event.data?.reason === "signed_out");
      seen(event);
      options.onEvent(event);
      if (options.isLast?.(event)) ended = true;
    },
  });
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let [waiting, timer, told] = ["", 0, 0];
  let failure: unknown;
  const tell = () => {
    const text = waiting;
    [waiting, timer, told] = ["", 0, performance.now()];
    try {
      batch(() => parser.feed(text));
    } catch (error) {
      failure = error;
    }
    if (ended !== undefined || failure !== undefined) reader.cancel().catch(() => undefined);
  };
  try {
    for (let done = false; !done; ) {
      const read = await reader.read();
      done = read.done;
      waiting += decoder.decode(read.value, { stream: !done });
      timer ||= window.setTimeout(tell, Math.max(0, told + PAUSE_MS - performance.now()));
    }
  } finally {
    clearTimeout(timer);
    if (!options.signal.aborted) tell(); // also what came before a connection broke
  }
  if (failure !== undefined) throw failure;
  return ended ?? false;
}

/** A server that is starting or busy is asked again; a refusal is thrown. */
async function refused(response: Response): Promise<boolean> {
  if (response.status >= 500 || response.status === 429) return false;
  if (response.status === 401) signedOut.value = true;
  throw errorOf(response.status, await response.json().catch(() => undefined));
}

function whenHidden(close: () => void): () => void {
  let timer = 0;
  const watch = () => {
    clearTimeout(timer);
    if (document.hidden) timer = window.setTimeout(close, HIDDEN_PATIENCE_MS);
  };
  document.addEventListener("visibilitychange", watch);
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", watch);
  };
}

function visible(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (!document.hidden || signal.aborted) return resolve();
    const go = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", go);
      resolve();
    };
    document.addEventListener("visibilitychange", go);
    signal.addEventListener("abort", go, { once: true });
  });
}

function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
