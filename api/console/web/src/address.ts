/** Where the console and the API are, whatever prefix a proxy adds; and addresses of pages, with their filters. */

const base = new URL("./", document.baseURI);

/** The path under which the console's pages are, with a slash at its end. */
export const ROOT = base.pathname;

/** The address before `/api`. */
export const ORIGIN = new URL("../", base).href.replace(/\/$/, "");

/** The path of a page of the console: `to("jobs", {state: "failed"})`. */
export function to(page: string, query: Record<string, string | string[] | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value ?? []].flat()) if (one !== "") search.append(name, one);
  }
  const text = search.toString();
  return `${ROOT}${page}${text ? `?${text}` : ""}`;
}

/** The address of something that the API sends as a file. */
export function download(path: string): string {
  return `${ORIGIN}${path}`;
}
