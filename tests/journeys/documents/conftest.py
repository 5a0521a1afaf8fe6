"""The worker that reads documents, which the tests of a process share."""

import pytest

from tests.journeys.conftest import KEPT
from tests.system import System


@pytest.fixture
async def worker(system: System) -> str:
    """The name of a running worker for ingestion; whoever stops it waits for its end."""
    if KEPT not in system.processes:
        system.start(KEPT)
    await system.ready(KEPT)
    return KEPT
