"""What the watchdog of a running system tells of its parts: its log lines, its webhooks, its entries in the audit log."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from schema.vault import PLATFORM
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.system import System
from tests.waiting import wait_for
from tests.workers.jobs import rows

Change = tuple[str, str | None]
"""What a part became, and what was wrong."""


class Telling:
    """What is told from now on. `receiver` has what endpoints for `service.*` are sent at `/`."""

    def __init__(self, system: System, database_url: str, receiver: WebhookReceiver | None = None) -> None:
        self._system, self._url, self._receiver = system, database_url, receiver
        self._seen = len(system.log("scheduler"))
        (self._since,) = rows(database_url, "SELECT now() AS at")

    def changes(self, part: str) -> list[Change]:
        """The lines of a part."""
        lines: list[dict[str, Any]] = [
            json.loads(line)
            for line in self._system.log("scheduler")[self._seen :].splitlines()
            if '"service_changed"' in line
        ]
        return [(line["status"], line["error"]) for line in lines if line["part"] == part]

    async def until(self, part: str, status: str) -> None:
        """Wait until the last line of a part says this."""
        await wait_for(
            lambda: [status] == [one for one, _ in self.changes(part)[-1:]], f"{part} is said to be {status}"
        )

    def sent(self, part: str) -> list[tuple[str, str]]:
        """The types and statuses of a part's webhooks, each of an endpoint's messages once."""
        assert self._receiver is not None
        messages = {message.id: message.json for message in self._receiver.messages if message.path == "/"}
        return [
            (told["type"], told["data"]["status"]) for told in messages.values() if told["data"].get("part") == part
        ]

    async def until_sent(self, part: str, *wanted: tuple[str, str]) -> None:
        """Wait until as many webhooks of a part have come; they must be these."""
        await wait_for(lambda: len(self.sent(part)) >= len(wanted), f"webhooks tell of {part}: {self.sent(part)}")
        assert list(wanted) == self.sent(part)

    def audit_entries(self, action: str) -> list[str]:
        """The targets of the watchdog's entries of a sort."""
        sql = "SELECT target FROM audit_log WHERE tenant_id = %s AND actor = 'system' AND action = %s AND at > %s ORDER BY at"
        return [row["target"] for row in rows(self._url, sql, PLATFORM, action, self._since["at"])]

    async def until_done(self, action: str, target: str = "") -> None:
        """Wait until an entry is there."""
        await wait_for(
            lambda: any(target in one for one in self.audit_entries(action)), f"{action} {target} is in the audit log"
        )


async def watch_anew(system: System, database_url: str, **settings: str) -> None:
    """Start the scheduler again, with other settings than the rest, and wait until it watches and sees the workers. It
    remembers no outages of other tests, which would delay what it tells."""
    await system.stop("scheduler")
    before = watchers(database_url)
    with settings_of(system, settings):
        system.start("scheduler")
    await system.ready("scheduler")

    async def watches() -> bool:
        sees = rows(database_url, "SELECT detail FROM service_parts WHERE part = 'workers' AND detail ->> 'chat' = '1'")
        return bool(sees) and not watchers(database_url) & before

    await wait_for(watches, "the new scheduler watches, and sees the worker")


@contextmanager
def settings_of(system: System, settings: Mapping[str, str]) -> Iterator[None]:
    """What is started meanwhile has these settings."""
    before = dict(system.env)
    system.env.update(settings)
    try:
        yield
    finally:
        system.env.clear()
        system.env.update(before)


def watchers(database_url: str) -> set[str]:
    """Who watches the parts."""
    return {row["watcher"] for row in rows(database_url, "SELECT DISTINCT watcher FROM service_parts")}
