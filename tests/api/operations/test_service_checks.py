"""What the watchdog found: in `/health`, and as history."""

import httpx
import psycopg

from api.app import create_app
from api.settings import ApiSettings
from tests.api.test_health import PARTS, operating, settings_of_operator

FOUND = """
INSERT INTO service_parts (part, status, since, error, watcher, watched_until, latency_ms, detail) VALUES
  ('postgres', 'degraded', '2026-01-02T03:04:05Z', '91 of its 100 connections are taken.', 'a', now(), 3.5,
   '{"connections": 91}'),
  ('workers', 'down', '2026-01-02T03:04:05Z', 'No worker serves the queue chat.', 'a', now(), 0.5, '{"processes": 1}'),
  ('disk', 'up', '2026-01-02T03:04:05Z', NULL, 'a', now(), 0.1, '{"free_bytes": 5000000000}'),
  ('provider/openai', 'down', '2026-01-02T03:04:05Z', 'The last 3 calls failed.', 'a', now(), 0.2, '{"calls": 3}')
"""


async def test_operators_see_what_the_watchdog_found_and_the_public_no_vendors(
    settings: ApiSettings, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("DELETE FROM service_parts")
        db.execute(FOUND)
        try:
            async with operating(create_app(settings_of_operator(settings))) as client:
                health = (await client.get("/health")).json()
                public = (await client.get("/health", headers={"Authorization": ""})).json()
        finally:
            db.execute("DELETE FROM service_parts")
    parts = health["parts"]
    assert ["disk", "provider/openai", "watchdog"] == [
        name for name in parts if name not in PARTS or name == "watchdog"
    ]
    assert ("degraded", "91 of its 100 connections are taken.", {"connections": 91}) == tuple(
        parts["postgres"][field] for field in ("status", "error", "detail")
    )
    assert ("down", "No worker serves the queue chat.", 0.5) == tuple(
        parts["workers"][field] for field in ("status", "error", "latency_ms")
    )
    assert {"status": "up", "since": "2026-01-02T03:04:05Z", "latency_ms": 0.1, "detail": {"free_bytes": 5e9}} == parts[
        "disk"
    ]
    assert "up" == parts["watchdog"]["status"]
    assert ("degraded", {"status": "degraded"}) == (public["status"], public["parts"]["postgres"])
    assert "disk" in public["parts"]
    assert "provider/openai" not in public["parts"]


async def test_admins_read_the_history_of_checks_page_by_page(
    admin: httpx.AsyncClient, api: httpx.AsyncClient, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("DELETE FROM service_checks")
        db.execute(
            "INSERT INTO service_checks (part, at, status, checks, failed, latency_ms, error) SELECT part, "
            "now() - make_interval(mins => n), 'down', 20, 3, 1.5, 'It failed.' FROM unnest(ARRAY['redis', 'disk']) AS part, "
            "generate_series(1, 3) AS n"
        )
    path = "/api/admin/health/checks"
    first = (await admin.get(path, params={"limit": 4})).json()
    rest = (await admin.get(path, params={"limit": 4, "cursor": first["next_cursor"]})).json()
    assert ["redis", "disk"] * 3 == [one["part"] for one in first["items"] + rest["items"]]
    assert rest["next_cursor"] is None
    assert {"status": "down", "checks": 20, "failed": 3, "latency_ms": 1.5, "error": "It failed."}.items() <= first[
        "items"
    ][0].items()
    assert ["disk"] * 3 == [one["part"] for one in (await admin.get(path, params={"part": "disk"})).json()["items"]]
    assert [] == (await admin.get(path, params={"part": "nothing like that"})).json()["items"]
    for wrong in ({"cursor": "x"}, {"cursor": "WyJqb2JzIiwxXQ"}, {"limit": 0}, {"part": "\0"}, {"part": "x" * 101}):
        assert (await admin.get(path, params=wrong)).status_code in (400, 422), wrong
    assert 403 == (await api.get(path)).status_code
