"""The watchdog of a running system: what happens to processes is noticed, told once, and so is its end."""

import json
import signal
from typing import Any

from tests.journeys.client import Client
from tests.system import System
from tests.waiting import wait_for
from tests.workers.jobs import rows


def changes(system: System, part: str) -> list[tuple[str, str | None]]:
    """What the scheduler that runs has told of a part."""
    lines: list[dict[str, Any]] = []
    for line in system.log("scheduler").splitlines():
        if '"service_changed"' in line:
            lines.append(json.loads(line))
    return [(line["status"], line["error"]) for line in lines if line["part"] == part]


async def test_a_worker_that_stands_still_is_told_once_and_so_is_its_return(
    system: System, client: Client, shared_url: str
) -> None:
    await system.stop("scheduler")  # what it remembers of other tests' outages would delay the return
    told = len(changes(system, "workers"))
    system.start("scheduler")
    await system.ready("scheduler")

    async def is_up() -> bool:
        sql = "SELECT status FROM service_parts WHERE part = 'workers' AND watched_until > now() AND detail ->> 'chat' = '1'"
        return ["up"] == [row["status"] for row in rows(shared_url, sql)]

    await wait_for(is_up, "the new scheduler watches, and sees the worker")
    told = len(changes(system, "workers"))
    worker = system.processes["chat"]
    worker.send_signal(signal.SIGSTOP)
    try:
        await wait_for(lambda: len(changes(system, "workers")) > told, "it is told")
    finally:
        worker.send_signal(signal.SIGCONT)
    await wait_for(lambda: len(changes(system, "workers")) > told + 1, "its return is told")
    (down, up) = changes(system, "workers")[told:]
    assert "down" == down[0]
    assert down[1] in ("No worker is running.", "No worker serves the queue chat.")
    assert ("up", None) == up
    (part,) = rows(shared_url, "SELECT status, error FROM service_parts WHERE part = 'workers'")
    assert ("up", down[1]) == (part["status"], part["error"])
    history = rows(shared_url, "SELECT status FROM service_checks WHERE part = 'workers' ORDER BY at DESC LIMIT 2")
    assert ["up", "down"] == [row["status"] for row in history]
    async with await client.ask("text-5-at-60") as stream:
        await stream.rest()
