/** Who is signed in. The secret is in a cookie that scripts can't read; this asks the API whose it is. */

import { computed, signal } from "@preact/signals";
import { api, need, type Schemas, signedOut } from "./api";
import { forgetAll, recall, remember } from "./storage";
import { chooseLanguage } from "./words";

export type Caller = Schemas["CallerOut"];
export type Credentials =
  | { tenant: string; email: string; password: string }
  | { api_key: string }
  | { code: string };

/** Undefined until it is known. */
export const caller = signal<Caller | null | undefined>(undefined);
export const rights = computed(() => new Set<string>(caller.value?.rights ?? []));

export function may(right: string): boolean {
  return rights.value.has(right);
}

/** Asks who is signed in, which prolongs the sign-in. A link with a one-time code signs in first. */
export async function begin(): Promise<void> {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) history.replaceState(null, "", location.pathname + location.search);
  const found = await need(api.GET("/api/auth/session"));
  await chooseLanguage(found.language);
  if (!code) return take(found.caller);
  try {
    await signIn({ code });
  } catch (error) {
    take(found.caller);
    if (!found.caller) throw error;
  }
}

/** Prolongs the sign-in; one that is over is said above the page, which stays as it is. */
export async function prolong(): Promise<void> {
  const found = await need(api.GET("/api/auth/session"));
  if (!found.caller) signedOut.value = true;
}

export async function signIn(credentials: Credentials): Promise<void> {
  const found = await need(api.POST("/api/auth/session", { body: credentials }));
  take(found.caller);
}

export async function signOut(): Promise<void> {
  await need(api.DELETE("/api/auth/session"));
  forgetAll("draft.");
  take(null);
}

/** Signs this person out in every browser and program. */
export async function signOutEverywhere(): Promise<void> {
  await need(api.POST("/api/auth/logout", { body: { everywhere: true } }));
  await signOut();
}

function take(found: Caller | null): void {
  const id = found ? (found.user?.id ?? found.key?.id ?? "") : "";
  if (id && recall("who") !== id) {
    forgetAll("draft."); // somebody else's
    remember("who", id);
  }
  caller.value = found;
  signedOut.value = false;
}
