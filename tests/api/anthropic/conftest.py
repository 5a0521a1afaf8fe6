"""headrace as processes, with `openai/…` and `anthropic/…` models behind it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import pytest

from tests.conftest import TestTenant, make_tenant
from tests.counterparts.anthropic.server import AnthropicServer
from tests.counterparts.openai.server import OpenAIServer
from tests.system import System
from tests.waiting import PATIENCE_S


@dataclass(frozen=True)
class Talking:
    """A running headrace, the servers behind it and a tenant of its own."""

    system: System
    openai: OpenAIServer
    anthropic: AnthropicServer
    tenant: TestTenant
    http: httpx.AsyncClient

    def sdk(self, **options: Any) -> anthropic.AsyncAnthropic:
        """Anthropic's SDK, pointed here."""
        given = {"api_key": self.tenant.key, "max_retries": 0, "timeout": PATIENCE_S, **options}
        return anthropic.AsyncAnthropic(base_url=self.system.url, **given)


@pytest.fixture(scope="module")
async def talking(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Talking]:
    tenant = make_tenant(database_url)
    async with OpenAIServer() as openai, AnthropicServer() as vendor:
        system = System(
            database_url,
            redis_url,
            folder=tmp_path_factory.mktemp("system"),
            model_url=openai.base_url,
            settings={
                "HEADRACE_DEFAULT_MODEL": "openai/text-5",
                "HEADRACE_MODEL_FIRST_TOKEN_S": "20",
                "ANTHROPIC_BASE_URL": vendor.url,
                "ANTHROPIC_API_KEY": "sk-ant-key",
            },
        )
        async with system, httpx.AsyncClient(base_url=system.url, headers=tenant.headers, timeout=PATIENCE_S) as http:
            yield Talking(system, openai, vendor, tenant, http)
