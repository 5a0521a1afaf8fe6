/** A list as a file of CSV. A link can't ask for a format, so the file is read here. */

import { download } from "../address";
import { errorOf } from "../api";
import { words } from "../words";
import { failed } from "./toasts";

export function Csv({ path, name }: { path: string; name: string }) {
  const href = download(path);
  const save = async (event: Event) => {
    event.preventDefault();
    try {
      const file = document.createElement("a");
      file.href = URL.createObjectURL(new Blob(await parts(href), { type: "text/csv" }));
      file.download = name;
      file.click();
      URL.revokeObjectURL(file.href);
    } catch (error) {
      failed(error);
    }
  };
  return <a class="button" href={href} download={name} onClick={save}>{words.value.jobs.csv}</a>;
}

/** All rows: the API sends some thousands at a time, each time with the heads. */
async function parts(href: string): Promise<string[]> {
  const found: string[] = [];
  const url = new URL(href);
  for (;;) {
    const response = await fetch(url, { headers: { Accept: "text/csv" } });
    if (!response.ok) throw errorOf(response.status, await response.json().catch(() => undefined));
    const text = await response.text();
    found.push(found.length ? text.slice(text.indexOf("\n") + 1) : text);
    const cursor = response.headers.get("X-Headrace-Next-Cursor");
    if (!cursor) return found;
    url.searchParams.set("cursor", cursor);
  }
}
