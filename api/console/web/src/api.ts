/** The client of the API, typed from its OpenAPI document (`npm run types`), and what its errors are for people. */

import { signal } from "@preact/signals";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";
import { ORIGIN } from "./address";
import { words } from "./words";

export type Schemas = components["schemas"];

/** Sent with everything that changes something: no form of another site can send it. */
export const OWN_HEADER = { "X-Headrace-Console": "1" };

/** Set when a call was refused because nobody is signed in any more. */
export const signedOut = signal(false);

/** A refusal or a failure, with a sentence for people. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}

/** `fetch`, with a sentence for people when the server can't be reached. */
export async function reach(request: RequestInfo, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(request, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", words.value.errors.unreachable);
  }
}

async function send(request: Request): Promise<Response> {
  const response = await reach(request);
  if (response.status === 401 && !new URL(request.url).pathname.endsWith("/api/auth/session")) signedOut.value = true;
  return response;
}

export const api = createClient<paths>({ baseUrl: ORIGIN, headers: OWN_HEADER, fetch: send });

/** The data of a call, as JSON. Throws ApiError, whose message is what the API said. */
export async function need<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<Exclude<T, string>> {
  const { data, error, response } = await call;
  if (!response.ok) throw errorOf(response.status, error);
  return data as Exclude<T, string>;
}

/** A page of a list that has something on it, or the last one: a search may look at many rows and find none of them. */
export async function readOn<P extends { items: unknown[]; next_cursor: string | null }>(
  read: (cursor?: string) => Promise<P>,
  after?: string,
): Promise<P> {
  let page = await read(after);
  while (!page.items.length && page.next_cursor) page = await read(page.next_cursor);
  return page;
}

/** What to tell people of a refusal: the API's own sentence where it sent one. */
export function errorOf(status: number, body: unknown): ApiError {
  const problem = (typeof body === "object" && body !== null ? body : {}) as {
    code?: string;
    detail?: string;
    errors?: { field?: string }[];
  };
  const said = problem.detail ?? (status === 401 ? words.value.errors.signedOut : words.value.errors.status(status));
  return new ApiError(status, problem.code ?? "unknown", said, problem.errors?.[0]?.field);
}

/** The sentence for an error of any kind. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
