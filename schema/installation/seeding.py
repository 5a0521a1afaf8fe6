"""The demo's agents and tools: rows of the platform, granted to the demo tenant. Missing ones are inserted; of existing ones
only the endpoint of the demo's ERP is updated, which changes with each start, so that users' changes are kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Json

from schema.egress_uses import EgressUse
from schema.ids import new_id
from schema.vault import PLATFORM

ADD_AGENT = """
INSERT INTO agents (tenant_id, id, name, description, examples, prompt, models, graph, tools, output_format, renderer,
  created_by)
VALUES (%(tenant_id)s, %(id)s, %(name)s, %(description)s, %(examples)s, %(prompt)s, '[]', %(graph)s, %(tools)s,
  %(output_format)s, %(renderer)s, 'system') ON CONFLICT (tenant_id, name) DO NOTHING
"""
ADD_TOOL = """
INSERT INTO tools (tenant_id, id, name, kind, definition, priority, created_by)
VALUES (%(tenant_id)s, %(id)s, %(name)s, %(kind)s, %(definition)s, %(priority)s, 'system')
ON CONFLICT (tenant_id, name) DO UPDATE SET
  definition = jsonb_set(tools.definition::jsonb, '{endpoint}', (excluded.definition -> 'endpoint')::jsonb)
  WHERE tools.created_by = 'system' AND tools.definition ->> 'endpoint' <> excluded.definition ->> 'endpoint'
"""
GRANT = """
INSERT INTO grants (tenant_id, kind, name, overrides, created_by)
SELECT t.id, %(kind)s, %(name)s, '{}', 'system' FROM tenants t WHERE t.slug = %(slug)s ON CONFLICT DO NOTHING
"""

GRANT_EGRESS = """
INSERT INTO egress_grants (tenant_id, use, host, created_by)
SELECT t.id, %(use)s, %(host)s, 'system' FROM tenants t WHERE t.slug = %(slug)s ON CONFLICT DO NOTHING
"""


def ensure_egress(database_url: str, slug: str, use: EgressUse, hosts: Sequence[str]) -> None:
    """Make sure that the tenant `slug` may call private hosts for a use; former ones of the demo are taken back."""
    with psycopg.connect(database_url) as db:
        db.execute(
            """DELETE FROM egress_grants e USING tenants t WHERE t.slug = %(slug)s AND e.tenant_id = t.id
              AND e.use = %(use)s AND e.host <> ALL(%(hosts)s) AND e.created_by = 'system'""",
            {"slug": slug, "use": use, "hosts": list(hosts)},
        )
        for host in hosts:
            db.execute(GRANT_EGRESS, {"slug": slug, "use": use, "host": host})


def ensure_agents(
    database_url: str,
    slug: str,
    agents: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    built_in: Sequence[str],
) -> None:
    """Make sure that the platform has these agents and configured tools, and that they and the `built_in` tools are granted
    to the tenant `slug`."""
    with psycopg.connect(database_url) as db:
        for tool in tools:
            values = {"kind": tool["kind"], "definition": Json(tool), "priority": tool.get("priority", 100)}
            db.execute(ADD_TOOL, {"tenant_id": PLATFORM, "id": new_id(), "name": tool["name"], **values})
        for agent in agents:
            row = {"graph": "auto", "output_format": None, "renderer": None, **agent}
            packed = {k: Json(v) if isinstance(v, (list, dict)) else v for k, v in row.items()}
            db.execute(ADD_AGENT, {"tenant_id": PLATFORM, "id": new_id(), **packed})
        wanted = [("agent", agent["name"]) for agent in agents]
        wanted += [("tool", tool["name"]) for tool in tools] + [("tool", name) for name in built_in]
        for kind, name in wanted:
            db.execute(GRANT, {"kind": kind, "name": name, "slug": slug})
