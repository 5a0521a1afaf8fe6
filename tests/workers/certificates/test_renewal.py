"""Certificates are renewed in time, and what ends or can't be had is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from schema.ids import new_id
from schema.postgres.connections import pool_for, tenant_tx
from schema.queries.certificates import certificates as queries
from schema.queries.certificates.certificates import WatchedCertificate
from schema.vault import PLATFORM
from tests.secret import VAULT
from tests.workers.certificates.authority import Authority
from workers.certificates.acme_orders import AcmeFailed
from workers.certificates.checking import check_pair
from workers.certificates.expiry import due_warning, renew_at
from workers.certificates.renewal import Renewals
from workers.certificates.settings import AcmeSettings
from workers.health.checks import PartDown
from workers.health.stored_certificates import find_stored_certificates, judge
from workers.queue.job_core import JobCore

AUTHORITY = Authority()
NOW = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def none_are_left(database_url: str) -> None:
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM certificates")


def row(name: str, left: float | None, lasts: float = 90, **about: Any) -> WatchedCertificate:
    ends = None if left is None else NOW + left * DAY
    begins = ends and ends - lasts * DAY
    about = {"names": [f"{name}.example"], "tries": 0, "error": None} | about
    return WatchedCertificate(id=new_id(), name=name, origin="acme", not_before=begins, not_after=ends, **about)


@pytest.mark.parametrize(
    ("rows", "trouble"),
    [
        ([], None),
        ([row("a", 15), row("b", None)], None),
        ([row("a", 13.5), row("b", 80)], "The certificate a ends in 13 days."),
        ([row("a", 3, error="x", tries=2)], "The certificate a ends in 3 days. It could not be renewed."),
        ([row("a", 2, lasts=6)], None),
        ([row("a", 1, lasts=6)], "The certificate a ends in 1 days."),
        ([row("old", -1, names=["a", "b"]), row("new", 80, names=["a"]), row("more", 80, names=["b"])], None),
        ([row("new", None, error="x", tries=1)], "No authority has issued the certificate new yet."),
    ],
)
def test_what_ends_soon_is_degraded(rows: list[WatchedCertificate], trouble: str | None) -> None:
    assert trouble == judge(rows, NOW).trouble


def test_what_has_ended_is_down() -> None:
    with pytest.raises(PartDown, match="a expired on 2026-11-29") as down:
        judge([row("a", -1.5), row("b", 5)], NOW)
    assert {"certificates": 2, "days_left": -1.5} == down.value.detail


def test_thresholds_are_passed_one_after_another() -> None:
    ends = NOW + 90 * DAY
    days = [due_warning(NOW, ends, ends - left * DAY) for left in (90, 14.1, 14, 8, 7, 3, 2, 0.5, 0, -3)]
    assert [None, None, 14, 14, 7, 3, 3, 1, 0, 0] == days
    assert [ends - 30 * DAY, NOW + 4 * DAY] == [renew_at(NOW, ends), renew_at(NOW, NOW + 6 * DAY)]


async def store(core: JobCore, name: str, origin: Any = "uploaded", **ends: Any) -> None:
    checked = check_pair(*AUTHORITY.issue(f"{name}.example", **ends))
    owner = new_id()
    sealed = VAULT.seal(checked.key, tenant_id=PLATFORM, owner_id=owner)
    async with tenant_tx(core.pool, PLATFORM) as db:
        assert await queries.add_certificate(db, owner, name=name, origin=origin, sealed=sealed, **checked.columns)


def told(database_url: str) -> list[tuple[str, str]]:
    sql = "SELECT type, data ->> 'certificate' FROM webhook_deliveries WHERE type LIKE 'certificate.%' ORDER BY id"
    with psycopg.connect(database_url) as db:
        return db.execute(sql).fetchall()


@pytest.fixture
def endpoint(database_url: str) -> None:
    sql = "INSERT INTO webhook_endpoints (tenant_id, id, url, events, key_id, sealed) VALUES (%s, %s, 'u', %s, 'k', '')"
    with psycopg.connect(database_url) as db:
        db.execute("DELETE FROM webhook_endpoints")
        db.execute("DELETE FROM webhook_deliveries")
        db.execute(sql, (PLATFORM, new_id(), '["certificate.*"]'))


@pytest.mark.usefixtures("endpoint")
async def test_each_threshold_is_told_once(core: JobCore, database_url: str) -> None:
    renewals = Renewals(core.pool, VAULT, AcmeSettings())
    await store(core, "soon", begins=-80, ends=10)
    await store(core, "late", ends=60)
    assert [1, 0] == [await renewals.keep(), await renewals.keep()]
    with psycopg.connect(database_url) as db:
        db.execute("UPDATE certificates SET not_after = now() + interval '6 days' WHERE name = 'soon'")
    assert [1, 0] == [await renewals.keep(), await renewals.keep()]
    assert [("certificate.expiring", "soon")] * 2 == told(database_url)
    async with pool_for(database_url, "headrace_system", max_size=1) as system:
        assert "soon ends in 5 days" in str((await find_stored_certificates(system)).trouble)


@pytest.mark.usefixtures("endpoint")
async def test_an_order_that_fails_is_told_and_waits_longer_each_time(
    core: JobCore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AcmeFailed("The authority refused: too many.")

    monkeypatch.setattr("workers.certificates.acme_orders.register", refuse)
    renewals = Renewals(core.pool, VAULT, AcmeSettings())
    await store(core, "acme", origin="acme")
    waits: list[int] = []
    for _ in range(6):
        assert 1 == await renewals.keep()
        with psycopg.connect(database_url) as db:
            sql = "SELECT extract(epoch FROM next_try_at - now())::int, error FROM certificates"
            wait, error = db.execute(sql).fetchone() or (0, "")
            db.execute("UPDATE certificates SET next_try_at = now()")
        waits.append(round(wait / 60))
    assert ([5, 15, 45, 135, 405, 720], "The authority refused: too many.") == (waits, error)
    assert [("certificate.failed", "acme")] * 6 == told(database_url)


async def test_one_scheduler_has_an_order_and_another_takes_it_over(core: JobCore) -> None:
    await store(core, "acme", origin="acme")
    async with tenant_tx(core.pool, PLATFORM) as db:
        first = await queries.claim_due(db, lease_s=0)
    async with tenant_tx(core.pool, PLATFORM) as db:
        second = await queries.claim_due(db, lease_s=600)
    async with tenant_tx(core.pool, PLATFORM) as db:
        assert await queries.claim_due(db, lease_s=600) is None
        assert first is not None
        assert second is not None
        assert [1, 2] == [first.tries, second.tries]
        assert not await queries.fail_renewal(db, first, error="late", delay_s=1)  # it is the other's now
