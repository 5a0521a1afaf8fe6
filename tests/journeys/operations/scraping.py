"""Scrapes a running system, as Prometheus does, and Prometheus itself where it is installed."""

import asyncio
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from schema.identity.api_keys import new_api_key
from schema.installation.bootstrap import ensure_api_key
from schema.vault import PLATFORM
from tests.system import System, free_port
from tests.waiting import PATIENCE_S

Samples = dict[str, float]


def admin_headers(database_url: str) -> dict[str, str]:
    """Return the headers of a platform admin who is made for the test."""
    key = new_api_key()
    with psycopg.connect(database_url) as db:
        ensure_api_key(db, PLATFORM, key, name="scraper", role="admin")
    return {"Authorization": f"Bearer {key}"}


async def scrape(system: System, headers: dict[str, str]) -> Samples:
    """Return what a scrape of the API shows, by name and labels."""
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{system.url}/metrics/prometheus") as answer,
    ):
        text = await answer.text()
        assert 200 == answer.status, text
    families = text_string_to_metric_families(text)
    return {f"{s.name}{dict(sorted(s.labels.items()))}": s.value for family in families for s in family.samples}


def grown(before: Samples, after: Samples, name: str) -> float:
    """Return by how much the sum of a metric over all its labels has grown."""
    return sum(value for key, value in after.items() if key.startswith(name)) - sum(
        value for key, value in before.items() if key.startswith(name)
    )


class Prometheus:
    """A real Prometheus that scrapes every second. Use as `async with`."""

    def __init__(self, folder: Path, config: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        (folder / "prometheus.yaml").write_text(config)
        self._command = [
            *("prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
        ]

    async def __aenter__(self) -> "Prometheus":
        quiet = subprocess.DEVNULL
        self._process = await asyncio.to_thread(subprocess.Popen, self._command, stdout=quiet, stderr=quiet)
        self._http = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()
        self._process.kill()
        self._process.wait()

    async def query(self, expr: str) -> list[Any]:
        """Return what Prometheus answers."""
        async with self._http.get(f"{self.url}/api/v1/query", params={"query": expr}) as answer:
            said = await answer.json()
        assert "success" == said["status"], f"{expr}: {said}"
        return said["data"]["result"]

    async def wait_for(self, expr: str) -> list[Any]:
        """Return the answer when there is one."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    if found := await self.query(expr):
                        return found
                except aiohttp.ClientError:
                    assert self._process.poll() is None, "Prometheus has ended"
                await asyncio.sleep(0.2)
