"""A running headrace that works through batches, over models that do what their names say and record what they were asked."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types import Batch

from tests.conftest import TestTenant
from tests.counterparts.openai.server import OpenAIServer
from tests.system import System
from tests.waiting import wait_for

ENDED = ("completed", "failed", "expired", "cancelled")
CHAT = "/v1/chat/completions"


class Batching:
    """A running headrace with what batches need, and the models behind it."""

    def __init__(self, system: System, models: OpenAIServer, url: str) -> None:
        self.system, self.models, self.url = system, models, url

    def asked(self, saying: str) -> Counter[str]:
        """How often the models were asked what begins with this."""
        said = [str((record.body or {}).get("messages", [{}])[-1].get("content")) for record in self.models.records]
        return Counter(one for one in said if one.startswith(saying))


def line(custom_id: str, endpoint: str = CHAT, **body: Any) -> dict[str, Any]:
    """A line of a file."""
    return {"custom_id": custom_id, "method": "POST", "url": endpoint, "body": body}


def ask(custom_id: str, model: str = "text-3") -> dict[str, Any]:
    """A line that asks a model, saying its `custom_id`."""
    return line(custom_id, model=f"openai/{model}", messages=[{"role": "user", "content": custom_id}])


async def upload(sdk: AsyncOpenAI, lines: list[dict[str, Any]] | bytes) -> str:
    """Upload the file of a batch; return its id."""
    content = lines if isinstance(lines, bytes) else "".join(f"{json.dumps(one)}\n" for one in lines).encode()
    return (await sdk.files.create(file=("requests.jsonl", content), purpose="batch")).id


async def create(sdk: AsyncOpenAI, lines: list[dict[str, Any]] | bytes, endpoint: Any = CHAT, **more: Any) -> Batch:
    """Create a batch of these lines."""
    file_id = await upload(sdk, lines)
    return await sdk.batches.create(input_file_id=file_id, endpoint=endpoint, completion_window="24h", **more)


async def ended(sdk: AsyncOpenAI, batch_id: str) -> Batch:
    """Wait until a batch has ended."""

    async def look() -> Batch | None:
        batch = await sdk.batches.retrieve(batch_id)
        return batch if batch.status in ENDED else None

    return await wait_for(look, f"{batch_id} has ended")


async def results(sdk: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file of results."""
    assert file_id is not None
    return [json.loads(one) for one in (await sdk.files.content(file_id)).text.splitlines()]


@pytest.fixture(scope="module")
async def batching(
    database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Batching]:
    async with OpenAIServer() as models:
        system = System(
            database_url,
            redis_url,
            folder=tmp_path_factory.mktemp("system"),
            model_url=models.base_url,
            roles=("api", "chat", "default", "scheduler"),
            settings={"HEADRACE_LEASE_S": "3"},
        )
        async with system:
            yield Batching(system, models, database_url)


@pytest.fixture
async def sdk(batching: Batching, tenant: TestTenant) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{batching.system.url}/v1", api_key=tenant.key, max_retries=0) as opened:
        yield opened
