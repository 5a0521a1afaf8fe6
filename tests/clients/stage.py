"""What clients talk to: a headrace with real stores, a model that can be told what to do, and an agent with a tool.

`openai/obedient` makes each call that it is told to (`CALL get_weather {"city": "Hanoi"}`), once, and then says DONE.
`openai/text-N` says N words, `openai/reasoning` thinks first. `agent/Clerk` is the obedient model with the tool `mathematics`,
`agent/Listener` the attentive one, which knows the codes that it was told; `agent/Talker` talks for minutes.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from api.local.stores.local_stores import open_stores
from schema.installation.migrate import migrate
from tests.conftest import make_tenant
from tests.journeys.agent_setup import add_agent, grant_tools
from tests.system import ModelProcess, System


@dataclass(frozen=True)
class Stage:
    """The address of a running headrace, and a key of its tenant."""

    url: str
    key: str


@contextlib.asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """Start everything, and stop it at the end. Logs of the processes are in `folder`."""
    with open_stores(folder / "stores", durable=False) as stores, ModelProcess(folder) as model:
        migrate(stores.database_url)
        tenant = make_tenant(stores.database_url, role="owner", max_queued=10_000)
        add_agent(stores.database_url, tenant, "Clerk", tools=["mathematics"])
        add_agent(stores.database_url, tenant, "Listener", models=["openai/attentive"])
        add_agent(stores.database_url, tenant, "Talker", models=["openai/text-3000-at-20"])
        grant_tools(stores.database_url, tenant, "mathematics")
        settings = {"HEADRACE_DEFAULT_MODEL": "openai/obedient"}
        async with System(
            stores.database_url,
            stores.redis_url,
            folder=folder,
            model_url=model.base_url,
            roles=("api", "chat", "default", "ingestion", "scheduler"),
            settings=settings,
        ) as system:
            yield Stage(system.url, tenant.key)
