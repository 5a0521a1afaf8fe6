/** Tools: those of the tenant made and changed as JSON, each tried with what it sends and what comes back. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { duration } from "../../format";
import { Badge, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog, json } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { words } from "../../words";

type Tool = Schemas["ToolOut"];
const EXAMPLE = {
  name: "get_order", kind: "HTTP_GET", description: "Looks an order up by its number.",
  endpoint: "https://erp.example.com/orders/{number}",
  parameters: { type: "object", properties: { number: { type: "string" } }, required: ["number"] },
};

export default function ToolsPage() {
  const w = words.value.tools;
  const pages = usePages((cursor) => need(api.GET("/api/admin/tools", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [making, setMaking] = useState(false);
  const [trying, setTrying] = useState<Tool | null>(null);
  const remove = async (tool: Tool) => {
    if (!(await confirmed(words.value.confirmRemove(tool.name), words.value.remove))) return;
    await need(api.DELETE("/api/admin/tools/{name}", { params: { path: { name: tool.name } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}><button type="button" class="button primary" onClick={() => setMaking(true)}>{w.make}</button></PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, words.value.jobs.kind, words.value.jobs.state, ""]}
        row={(tool) => (
          <tr key={tool.name}>
            <td class="wide"><strong>{tool.name}</strong><br /><span class="soft">{tool.description}</span></td>
            <td>{tool.kind === "builtin" ? words.value.pipelines.builtIn : tool.kind}</td>
            <td><Badge state={tool.enabled ? "ok" : ""} label={tool.enabled ? words.value.agents.on : words.value.agents.off} /></td>
            <td>
              <button type="button" class="link" aria-label={`${w.test}: ${tool.name}`} onClick={() => setTrying(tool)}>{w.test}</button>{" "}
              {tool.origin === "own" && (
                <button type="button" class="link" aria-label={`${words.value.remove}: ${tool.name}`} onClick={() => remove(tool).catch(failed)}>{words.value.remove}</button>
              )}
            </td>
          </tr>
        )} />
      {making && (
        <FormDialog wide title={w.make} button={words.value.create} onClose={() => setMaking(false)}
          values={{ definition: JSON.stringify(EXAMPLE, null, 2) }}
          fields={[{ name: "definition", label: w.definition, kind: "json", rows: 14, required: true, hint: w.definitionHint }]}
          onSend={async ({ definition = "" }) => {
            await need(api.POST("/api/admin/tools", { body: json("definition", definition) as Schemas["NewToolIn"] }));
            pages.reload();
          }} />
      )}
      {trying && <Trial tool={trying} onClose={() => setTrying(null)} />}
    </div>
  );
}

function Trial({ tool, onClose }: { tool: Tool; onClose: () => void }) {
  const w = words.value.tools;
  const [result, setResult] = useState<Schemas["ToolTestOut"]>();
  const send = async ({ arguments: text = "" }) => {
    const body = { arguments: json("arguments", text) ?? {} };
    setResult(await need(api.POST("/api/admin/tools/{name}/test", { params: { path: { name: tool.name } }, body })));
    return true; // for the next try
  };
  const names = Object.keys((tool.parameters as { properties?: object }).properties ?? {});
  const values = { arguments: JSON.stringify(Object.fromEntries(names.map((name) => [name, ""])), null, 2) };
  return (
    <FormDialog wide title={`${w.test}: ${tool.name}`} button={w.test} values={values} onClose={onClose} onSend={send}
      fields={[{ name: "arguments", label: words.value.chat.arguments, kind: "json", rows: 6 }]}>
      {result && (
        <div role="status">
          <p><Badge state={result.ok ? "ok" : "failed"} label={result.ok ? w.works : w.broken} /> {duration(result.duration_ms)}</p>
          {result.request && <p class="mono">{result.request.method} {result.request.url} → {result.request.status ?? "–"}</p>}
          <div class="lines" tabIndex={0}>{result.error?.message ?? result.text}</div>
        </div>
      )}
    </FormDialog>
  );
}
