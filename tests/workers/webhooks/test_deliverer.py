"""The deliverer against a real receiver: what is sent, again, and no more."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schema.ids import new_id
from schema.queries.jobs.submissions import Callback
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.webhook_receiver import WebhookReceiver
from tests.waiting import wait_for
from tests.workers.jobs import change, rows
from tests.workers.webhooks.hooks import (
    attempts,
    deliverer,
    deliveries,
    end_one,
    have_endpoint,
    make_due,
    until_states,
)
from workers.queue.job_core import JobCore
from workers.queue.leases import host_name
from workers.webhooks import deliverer as deliverer_module
from workers.webhooks import send as send_module
from workers.webhooks.holds import read_holds
from workers.webhooks.schedule import DELAYS_S
from workers.webhooks.signing import new_secret, signed_headers


async def test_an_endpoint_is_told_of_a_jobs_end_and_can_verify_it(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        _, secret = await have_endpoint(core, tenant, receiver.url())
        job_id = await end_one(core, tenant)
        (message,) = await receiver.until(1)
        (row,) = await until_states(database_url, tenant, "delivered")
    Webhook(secret).verify(message.body, message.headers)
    assert message.id == f"msg_{row['event_id'].hex}"
    said = message.json
    assert ("job.cancelled", str(job_id), "cancelled", "chat") == (
        said["type"],
        *(said["data"][name] for name in ("job_id", "state", "kind")),
    )
    assert {"job": f"/api/jobs/{job_id}", "events": f"/api/jobs/{job_id}/events"} == said["data"]["links"]
    (attempt,) = attempts(database_url, tenant)
    assert (1, 200, None, "thanks") == tuple(attempt[name] for name in ("attempt", "status", "error", "response"))


async def test_a_callback_is_signed_with_the_tenants_own_secret(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        for _ in range(2):
            await end_one(core, tenant, callback=Callback(receiver.url("/cb"), ("job.cancelled",)))
        await end_one(core, tenant, callback=Callback(receiver.url("/cb"), ("job.failed",)))
        await until_states(database_url, tenant, "delivered", "delivered")
    assert 2 == len(receiver.messages)
    assert 1 == len(rows(database_url, "SELECT 1 FROM callback_secrets WHERE tenant_id = %s", tenant.id))


async def test_what_was_rolled_back_or_has_not_ended_sends_nothing(
    core: JobCore, tenant: TestTenant, database_url: str
) -> None:
    await have_endpoint(core, tenant, "http://127.0.0.1:9/")
    other = make_tenant(database_url)
    await end_one(core, other)
    assert [] == deliveries(database_url, tenant) + deliveries(database_url, other)


@pytest.mark.parametrize(
    ("path", "error", "status"),
    [
        ("/status/500", "status_500", 500),
        ("/status/302", "status_302", 302),
        ("/big", "egress_too_large", 200),
        ("/close", "egress_failed", None),
        ("/drip", "egress_failed", 200),
        ("/hang", "egress_failed", None),
    ],
)
async def test_a_receiver_that_misbehaves_is_tried_again_with_the_same_id(
    core: JobCore,
    tenant: TestTenant,
    database_url: str,
    redis_url: str,
    path: str,
    error: str,
    status: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliverer_module, "SEND_S", 1.0)
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        endpoint_id, _ = await have_endpoint(core, tenant, receiver.url(path))
        await end_one(core, tenant)
        (attempt, *_) = await wait_for(lambda: attempts(database_url, tenant), "the first attempt has ended")
        (waiting,) = deliveries(database_url, tenant)
        make_due(database_url, tenant)
        await receiver.until(2)
    assert ("pending", error) == (waiting["state"], waiting["last_error"])
    assert status == attempt["status"], "what it said before it failed is kept"
    assert 1 == len(set(receiver.ids()))
    (found,) = rows(database_url, "SELECT failing_since, enabled FROM webhook_endpoints WHERE id = %s", endpoint_id)
    assert found["failing_since"] is not None
    assert found["enabled"]


async def test_a_private_address_is_refused_when_it_is_not_granted(
    core: JobCore, database_url: str, redis_url: str
) -> None:
    stranger = make_tenant(database_url, egress=False)
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        await have_endpoint(core, stranger, receiver.url())
        await end_one(core, stranger)
        (attempt,) = await wait_for(lambda: attempts(database_url, stranger), "it was tried")
    assert "egress_refused" == attempt["error"]
    assert [] == receiver.messages


async def test_410_switches_an_endpoint_off_and_pauses_what_waits(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver:
        endpoint_id, _ = await have_endpoint(core, tenant, receiver.url("/status/410"))
        for _ in range(4):
            await end_one(core, tenant)
        async with deliverer(database_url, redis_url):
            found = await wait_for(
                lambda: rows(
                    database_url, "SELECT * FROM webhook_endpoints WHERE id = %s AND NOT enabled", endpoint_id
                ),
                "the endpoint is off",
            )
            await wait_for(
                lambda: {row["state"] for row in deliveries(database_url, tenant)} <= {"paused", "exhausted"},
                "nothing waits any more",
            )
    assert "gone" == found[0]["disabled_for"]
    assert len(receiver.messages) < 4
    audit = "SELECT detail FROM audit_log WHERE tenant_id = %s AND action = 'webhook.disabled'"
    assert ["gone"] == [row["detail"]["reason"] for row in rows(database_url, audit, tenant.id)]
    await end_one(core, tenant)
    assert 4 == len(deliveries(database_url, tenant))


async def test_five_days_of_failures_switch_an_endpoint_off(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        endpoint_id, _ = await have_endpoint(core, tenant, receiver.url("/status/500"))
        change(
            database_url,
            "UPDATE webhook_endpoints SET failing_since = now() - %s WHERE id = %s",
            timedelta(days=4, hours=23),
            endpoint_id,
        )
        await end_one(core, tenant)
        await wait_for(lambda: attempts(database_url, tenant), "the first attempt has ended")
        (on,) = rows(database_url, "SELECT enabled FROM webhook_endpoints WHERE id = %s", endpoint_id)
        change(
            database_url,
            "UPDATE webhook_endpoints SET failing_since = failing_since - %s WHERE id = %s",
            timedelta(hours=1),
            endpoint_id,
        )
        make_due(database_url, tenant)
        sql = "SELECT disabled_for FROM webhook_endpoints WHERE id = %s AND NOT enabled"
        (off,) = await wait_for(lambda: rows(database_url, sql, endpoint_id), "the endpoint is off")
        await until_states(database_url, tenant, "paused")
    assert on["enabled"]
    assert "failing" == off["disabled_for"]


async def test_a_success_ends_the_time_of_failures(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        receiver.answers = [(500, {})]
        endpoint_id, _ = await have_endpoint(core, tenant, receiver.url())
        await end_one(core, tenant)
        sql = "SELECT failing_since FROM webhook_endpoints WHERE id = %s AND failing_since IS NOT NULL"
        await wait_for(lambda: rows(database_url, sql, endpoint_id), "the failure is noted")
        make_due(database_url, tenant)
        await until_states(database_url, tenant, "delivered")
    assert [] == rows(database_url, sql, endpoint_id)


async def test_retry_after_holds_back_all_that_a_receiver_would_get(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver:
        receiver.answers = [(429, {"Retry-After": "3000"})] * 2
        endpoint_id, _ = await have_endpoint(core, tenant, receiver.url())
        for _ in range(5):
            await end_one(core, tenant)
        async with deliverer(database_url, redis_url):
            await receiver.until(2)
            await wait_for(lambda: 2 == len(attempts(database_url, tenant)), "two attempts are recorded")
            holds = await read_holds(core.redis, tenant.id, [str(endpoint_id), "callback https://nobody"])
            assert [str(endpoint_id)] == list(holds)
            assert holds[str(endpoint_id)].until > datetime.now(UTC) + timedelta(minutes=45)
            assert "The receiver answered with status 429 and Retry-After: 3000 s." == holds[str(endpoint_id)].why
            (sentinel_id, _) = await have_endpoint(core, tenant, receiver.url("/other"))
            await end_one(core, tenant)
            await receiver.until(1, "/other")
        assert 2 == len(receiver.ids("/"))
        delays = """SELECT next_at - now() AS wait FROM webhook_deliveries
          WHERE tenant_id = %s AND attempt = 1 AND endpoint_id <> %s"""
        for row in rows(database_url, delays, tenant.id, sentinel_id):
            assert row["wait"] > timedelta(minutes=45)


async def test_one_that_hangs_has_two_at_once_and_delays_nobody(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver:
        await have_endpoint(core, tenant, receiver.url("/hang"))
        await have_endpoint(core, tenant, receiver.url("/good"))
        for _ in range(12):
            await end_one(core, tenant)
        async with deliverer(database_url, redis_url), deliverer(database_url, redis_url, owner="webhooks@test/2/2"):
            await receiver.until(12, "/good")
            assert 2 == receiver.most_open["/hang"]
            assert receiver.most_open["/good"] <= 2
            assert 2 == len(receiver.ids("/hang"))


async def test_a_deliverer_that_died_after_the_send_sends_again_with_the_same_id(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    """Its process is gone, as the name of its lease tells on the same host (`workers/queue/leases.py`)."""

    async with WebhookReceiver() as receiver:
        await have_endpoint(core, tenant, receiver.url())
        await end_one(core, tenant)
        change(
            database_url,
            "UPDATE webhook_deliveries SET state = 'sending', attempt = 1, tries = 1, lease_owner = %s, "
            "lease_until = now() + interval '1 hour' WHERE tenant_id = %s",
            f"webhooks@{host_name()}/4194304/1",
            tenant.id,
        )
        async with deliverer(database_url, redis_url):
            (row,) = await until_states(database_url, tenant, "delivered")
    assert 2 == row["attempt"]
    assert [f"msg_{row['event_id'].hex}"] == receiver.ids()


async def test_a_deliverer_that_stops_gives_back_what_it_was_sending(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer_module, "CLOSE_S", 0.1)
    async with WebhookReceiver() as receiver:
        await have_endpoint(core, tenant, receiver.url("/hang"))
        await end_one(core, tenant)
        async with deliverer(database_url, redis_url):
            await receiver.until(1)
        (row,) = deliveries(database_url, tenant)
        assert ("pending", 1, 0, None) == tuple(row[name] for name in ("state", "attempt", "tries", "lease_owner"))


async def test_after_the_last_try_a_delivery_is_exhausted(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver:
        await have_endpoint(core, tenant, receiver.url("/status/500"))
        await end_one(core, tenant)
        change(database_url, "UPDATE webhook_deliveries SET tries = 9, attempt = 9 WHERE tenant_id = %s", tenant.id)
        async with deliverer(database_url, redis_url):
            (row,) = await until_states(database_url, tenant, "exhausted")
    assert 10 == row["attempt"]


async def test_an_old_attempt_changes_nothing(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    async with WebhookReceiver() as receiver:
        receiver.hold = hold = asyncio.Event()
        await have_endpoint(core, tenant, receiver.url())
        await end_one(core, tenant)
        async with deliverer(database_url, redis_url):
            await receiver.until(1)
            change(
                database_url,
                "UPDATE webhook_deliveries SET attempt = 7, lease_owner = 'another@host/1/1' WHERE tenant_id = %s",
                tenant.id,
            )
            hold.set()
            await wait_for(lambda: not receiver.open["/"], "the receiver has answered")
    (row,) = deliveries(database_url, tenant)
    assert ("sending", 7) == (row["state"], row["attempt"])
    assert [] == attempts(database_url, tenant)


def test_a_verifier_refuses_what_was_tampered_with() -> None:

    secret, now = new_secret(), time.time()
    headers = signed_headers([new_secret(), secret], f"msg_{new_id().hex}", int(now), b'{"a":1}')
    Webhook(secret).verify(b'{"a":1}', headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b'{"a":2}', headers)
    assert send_module.SEND_S == 15.0


async def test_each_failed_try_is_followed_by_the_next_when_the_schedule_says(
    core: JobCore, tenant: TestTenant, database_url: str, redis_url: str
) -> None:
    waits = "SELECT extract(epoch FROM d.next_at - a.at)::float8 AS s FROM webhook_deliveries d, (SELECT max(started_at) AS at "
    waits += "FROM webhook_attempts WHERE tenant_id = %s) AS a WHERE d.tenant_id = %s AND d.state = 'pending'"
    async with WebhookReceiver() as receiver, deliverer(database_url, redis_url):
        await have_endpoint(core, tenant, receiver.url("/status/500"))
        await end_one(core, tenant)
        for tries, delay_s in enumerate(DELAYS_S[1:], 1):
            await wait_for(lambda tries=tries: tries == len(attempts(database_url, tenant)), f"try {tries} has failed")
            (wait,) = rows(database_url, waits, tenant.id, tenant.id)
            assert 0.8 * delay_s <= wait["s"] <= 1.2 * delay_s + 60
            make_due(database_url, tenant)
        await until_states(database_url, tenant, "exhausted")
    assert 1 == len(set(receiver.ids()))
    assert 10 == len(receiver.messages)
