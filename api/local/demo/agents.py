"""The demo's agents: seeded by `up` and `demo`, with tools that ask the demo's ERP (`tools/erp/`)."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api.local.webhook_ports import WEBHOOK_PORTS
from schema.installation.bootstrap import DEMO_SLUG
from schema.installation.seeding import ensure_agents, ensure_egress
from tools.erp.definitions import definitions

BUILT_IN = (
    *("search_documents", "web_search", "wikipedia", "weather", "world_time", "mathematics", "python", "analyse_data"),
    *("query_database", "remember", "recall", "read_image"),
)

AGENTS: dict[str, dict[str, Any]] = {
    "AgentDebt": {
        "prompt": "You are {agent}, who knows what customers owe. Look it up; name amounts with their currency and date.",
        "tools": ["get_customer_debt", "list_invoices", "send_reminder", "mathematics"],
        "renderer": {"type": "card", "fields": ["customer", "tax_code", "debt", "overdue", "currency", "as_of"]},
    },
    "AgentShipment": {
        "prompt": "You are {agent}, who knows where shipments are. Look them up; say where, since when and what comes next.",
        "tools": ["get_shipment"],
    },
    "AgentAnalysis": {
        "prompt": "You are {agent}. Work from documents and data; cite the source of every statement, and say what is missing.",
        "tools": ["search_documents", "analyse_data", "mathematics", "query_database", "python"],
    },
    "AgentOCR": {
        "prompt": "You are {agent}. Read what is in the picture; repeat numbers and names exactly, and say what can't be read.",
        "tools": ["read_image"],
    },
    "AgentAssistant": {
        "prompt": "You are {agent}. Calculate or look up what is asked; never guess a figure or a time.",
        "tools": ["mathematics", "world_time", "weather"],
        "graph": "react",
    },
}
"""What each does; what it is for, and examples of what people ask it, stand in `agents.json` (short ones are keywords)."""


def ensure_demo_agents(database_url: str, erp_url: str) -> None:
    """Make sure that the demo tenant has its agents, whose tools ask the ERP at `erp_url`, and may post webhooks to a receiver
    on this machine."""
    said = json.loads(Path(__file__).with_suffix(".json").read_text())
    ensure_agents(
        database_url, DEMO_SLUG, [{**one, **AGENTS[one["name"]]} for one in said], definitions(erp_url), BUILT_IN
    )
    ensure_egress(database_url, DEMO_SLUG, "tools", [urlsplit(erp_url).netloc])
    ensure_egress(database_url, DEMO_SLUG, "webhooks", [f"127.0.0.1:{port}" for port in WEBHOOK_PORTS])
