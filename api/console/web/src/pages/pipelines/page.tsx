/** Pipelines: those that are built in, and the tenant's own. */

import { useLocation } from "preact-iso";
import { to } from "../../address";
import { api, need } from "../../api";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { may } from "../../session";
import { words } from "../../words";

export default function PipelinesPage() {
  const w = words.value.pipelines;
  const { route } = useLocation();
  const pages = usePages(() => need(api.GET("/api/pipelines")).then(({ items }) => ({ items, next_cursor: null })), []);
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {may("pipelines.manage") && <button type="button" class="button primary" onClick={() => route(to("pipelines/new"))}>{w.make}</button>}
      </PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.version, w.changed]}
        row={(one) => (
          <tr key={one.id ?? one.name}>
            <td class="wide">
              <a class="row-link" href={to(`pipelines/${one.id ?? one.name}`)}><strong>{one.name}</strong></a>
              <br /><span class="soft">{one.description}</span>
            </td>
            <td>{one.built_in ? <Badge state="" label={w.builtIn} /> : one.version}</td>
            <td>{one.updated_at ? <Ago at={one.updated_at} /> : "–"}</td>
          </tr>
        )} />
    </div>
  );
}
