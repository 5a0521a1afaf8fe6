"""A page in a browser, and an installation in which nobody has guessed yet."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.console_page import browsing
from workers.queue.job_core import JobCore


@pytest.fixture
async def nobody_has_guessed(core: JobCore) -> None:
    """All tests come from one address."""
    await core.redis.call("FLUSHDB")


@pytest.fixture
async def page(application: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(application) as page:
        yield page
