/** What this browser remembers for one person: drafts, choices. Where storage is switched off, nothing is remembered. */

const PREFIX = "headrace.";

export function recall(name: string): string {
  try {
    return localStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return "";
  }
}

export function remember(name: string, value: string): void {
  try {
    if (value) localStorage.setItem(PREFIX + name, value);
    else localStorage.removeItem(PREFIX + name);
  } catch {
    // Full or switched off: the page works without.
  }
}

/** What was left behind under names that begin so: drafts, when another person signs in. */
export function forgetAll(beginning: string): void {
  try {
    for (const name of Object.keys(localStorage)) {
      if (name.startsWith(PREFIX + beginning)) localStorage.removeItem(name);
    }
  } catch {
    // As above.
  }
}
