"""Webhook endpoints over HTTP: what is kept, what is shown once, and what is refused with which words."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.webhooks import routes
from schema.ids import new_id
from schema.vault import Sealed
from tests.api.people import audit_entries
from tests.conftest import TestTenant, make_tenant
from tests.secret import VAULT
from tests.tools.hostile.urls import HOSTILE
from tests.workers.jobs import change, rows
from tests.workers.webhooks.hooks import deliveries
from workers.queue.job_core import JobCore
from workers.webhooks.holds import note_hold, read_holds
from workers.webhooks.secrets import open_secrets
from workers.webhooks.send import Answer

TENANT_ROLE = "owner"

HOOKS = "/api/webhooks"
RECEIVER = "http://127.0.0.1:9/hook"
OWN_SECRET = "whsec_" + "QUJD" * 8


@pytest.fixture(scope="module")
def stranger(database_url: str) -> TestTenant:
    """An owner whose tenant was granted no private host."""
    return make_tenant(database_url, role="owner", egress=False)


async def make(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    made = await api.post(HOOKS, json={"url": RECEIVER, "events": ["job.*"], **fields})
    assert 201 == made.status_code, made.text
    return made.json()


async def test_a_secret_is_told_once_and_sealed_with_the_headers(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    made = await api.post(
        HOOKS, json={"url": RECEIVER, "events": ["job.*", "document.failed"], "headers": {"X-Api-Key": "canary-77"}}
    )
    told = made.json()
    path = f"{HOOKS}/{told['id']}"
    assert (path, "no-store") == (made.headers["location"], made.headers["cache-control"])
    later = (await api.get(path)).text + (await api.get(HOOKS)).text
    assert told["secret"] not in later
    assert "canary-77" not in later + made.text
    assert ["X-Api-Key"] == (await api.get(path)).json()["headers"]
    (row,) = rows(database_url, "SELECT * FROM webhook_endpoints WHERE tenant_id = %s", tenant.id)
    opened = open_secrets(VAULT, Sealed(row["key_id"], row["sealed"]), tenant.id, row["id"])
    assert (told["secret"], {"X-Api-Key": "canary-77"}) == (opened.secret, opened.headers)
    assert 1 == len(audit_entries(database_url, tenant.id, "webhook.created"))


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"url": "https://10.1.2.3/x"}, "url", "not a public address"),
        ({"url": "http://8.8.8.8/x"}, "url", "only over https"),
        ({"url": "https://8.8.8.8:22/x"}, "url", "use port 443 or 8443"),
        ({"url": "https://nobody.invalid/x"}, "url", "can't be resolved"),
        ({"url": "ftp://8.8.8.8/x"}, "url", "start with https://"),
        ({"url": "https://user:pass@8.8.8.8/x"}, "url", "user name or a password"),
        ({"url": "http://3232235777/"}, "url", "unusual spelling"),
        ({"events": ["job.started"]}, "events[0]", "job.succeeded"),
        ({"events": ["job.*", "jobs.*"]}, "events[1]", "job.*"),
        ({"events": []}, "events", "must not be empty"),
        ({"kinds": ["dance"]}, "kinds[0]", "chat"),
        ({"secret": "whsec_QUJD"}, "secret", "24 to 64 random bytes"),
        ({"secret": "hello"}, "secret", "whsec_"),
        ({"headers": {"webhook-id": "1"}}, "headers.webhook-id", "set by headrace itself"),
        ({"headers": {"X-A": "a\r\nb"}}, "headers.X-A", "visible ASCII"),
        ({"headers": {"X A": "a"}}, "headers", "must be like X-Api-Key"),
        ({"include": ["everything"]}, "include[0]", "result"),
    ],
)
async def test_bad_input_is_told_with_field_reason_and_what_is_right(
    api: httpx.AsyncClient, fields: dict[str, Any], field: str, said: str
) -> None:
    refused = await api.post(HOOKS, json={"url": RECEIVER, "events": ["job.*"], **fields})
    problem = refused.json()
    assert 400 == refused.status_code, problem
    assert [field] == [error["field"] for error in problem["errors"]]
    assert said in problem["detail"]


async def test_wildcards_and_every_type_are_accepted(api: httpx.AsyncClient) -> None:
    for events in (["*"], ["job.*", "service.*"], ["budget.reached", "service.down"]):
        assert events == (await make(api, events=events))["events"]


async def test_one_whose_host_is_not_granted_is_refused(application: httpx.AsyncClient, database_url: str) -> None:
    stranger = make_tenant(database_url, role="owner", egress=False)
    refused = await application.post(HOOKS, json={"url": RECEIVER, "events": ["*"]}, headers=stranger.headers)
    assert (400, "url") == (refused.status_code, refused.json()["errors"][0]["field"])


async def test_a_secret_of_ones_own_and_its_rotation(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    made = await make(api, secret=OWN_SECRET)
    assert OWN_SECRET == made["secret"]
    rotated = (await api.post(f"{HOOKS}/{made['id']}/rotate-secret")).json()
    assert OWN_SECRET != rotated["secret"]
    shown = (await api.get(f"{HOOKS}/{made['id']}")).json()
    assert shown["former_secret_until"] == rotated["former_secret_until"] is not None
    again = await api.post(f"{HOOKS}/{made['id']}/rotate-secret", json={"secret": "whsec_short"})
    assert (400, "secret") == (again.status_code, again.json()["errors"][0]["field"])
    assert 1 == len(audit_entries(database_url, tenant.id, "webhook.secret_rotated"))


async def test_the_secret_of_callbacks_is_told_when_it_is_rotated(api: httpx.AsyncClient) -> None:
    before = (await api.get(f"{HOOKS}/secret")).json()
    first = (await api.post(f"{HOOKS}/secret/rotate")).json()
    second = (await api.post(f"{HOOKS}/secret/rotate", json={"secret": OWN_SECRET})).json()
    after = (await api.get(f"{HOOKS}/secret")).json()
    assert before["created_at"] is None
    assert (None, OWN_SECRET) == (first["former_secret_until"], second["secret"])
    assert second["former_secret_until"] is not None
    assert after["rotated_at"] is not None


async def test_what_waits_is_paused_while_an_endpoint_is_off(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    path = f"{HOOKS}/{(await make(api))['id']}"
    tested = await api.post(f"{path}/test")
    assert (202, "webhook.test", "pending") == (tested.status_code, tested.json()["type"], tested.json()["state"])
    assert (await api.get(tested.headers["location"])).json()["log"] == []
    await api.patch(path, json={"enabled": False})
    assert ["paused"] == [row["state"] for row in deliveries(database_url, tenant)]
    assert 409 == (await api.post(f"{path}/test")).status_code
    assert 409 == (await api.post(f"{tested.headers['location']}/redeliver")).status_code
    on = await api.patch(path, json={"enabled": True, "headers": {"X-B": "b"}})
    assert (True, ["X-B"]) == (on.json()["enabled"], on.json()["headers"])
    assert ["pending"] == [row["state"] for row in deliveries(database_url, tenant)]
    assert 204 == (await api.delete(path)).status_code
    assert [] == deliveries(database_url, tenant)
    assert 404 == (await api.get(path)).status_code


async def test_a_held_endpoint_and_what_waits_for_it_say_so(
    api: httpx.AsyncClient, core: JobCore, tenant: TestTenant
) -> None:
    path = f"{HOOKS}/{(made := await make(api))['id']}"
    waits = (await api.post(f"{path}/test")).headers["location"]
    assert (None, None) == (made["held_until"], made["held_for"])
    answer = Answer(started_at=datetime.now(UTC), duration_s=0.1, status=429, retry_after_s=1800)
    await note_hold(core.redis, tenant.id, made["id"], answer, 1800)
    (listed,) = (await api.get(HOOKS)).json()["items"]
    (delivery,) = (await api.get(f"{HOOKS}/deliveries")).json()["items"]
    for shown in (listed, delivery, (await api.get(path)).json(), (await api.get(waits)).json()):
        assert "The receiver answered with status 429 and Retry-After: 1800 s." == shown["held_for"]
        assert datetime.now(UTC) < datetime.fromisoformat(shown["held_until"]) < datetime.now(UTC) + timedelta(hours=1)
    assert {} == await read_holds(core.redis, new_id(), [made["id"]])


async def test_an_owner_sees_that_an_endpoint_was_switched_off(
    api: httpx.AsyncClient, tenant: TestTenant, database_url: str
) -> None:
    made = await make(api)
    assert [] == (await api.get("/api/tenant")).json()["notices"]
    off = "UPDATE webhook_endpoints SET enabled = false, disabled_for = 'failing', disabled_at = now() WHERE id = %s"
    change(database_url, off, UUID(made["id"]))
    assert ["webhooks_disabled"] == [notice["code"] for notice in (await api.get("/api/tenant")).json()["notices"]]
    found = (await api.get(HOOKS, params={"enabled": False})).json()["items"]
    assert [("failing", made["id"])] == [(one["disabled_for"], one["id"]) for one in found]
    await api.patch(f"{HOOKS}/{made['id']}", json={"enabled": True})
    assert [] == (await api.get("/api/tenant")).json()["notices"]


async def test_a_tenant_has_a_limited_number_of_endpoints(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_ENDPOINTS", 2)
    for _ in range(2):
        await make(api)
    refused = await api.post(HOOKS, json={"url": RECEIVER, "events": ["*"]})
    assert (409, "conflict") == (refused.status_code, refused.json()["code"])


async def test_members_may_not(application: httpx.AsyncClient, database_url: str) -> None:
    member = make_tenant(database_url, role="member")
    assert 403 == (await application.get(HOOKS, headers=member.headers)).status_code


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
async def test_a_hostile_address_is_kept_nowhere(
    application: httpx.AsyncClient, stranger: TestTenant, url: str
) -> None:
    url = url.replace("{port}", "8443")
    hook = await application.post(HOOKS, json={"url": url, "events": ["*"]}, headers=stranger.headers)
    body = {"message": "hi", "callback_url": url}
    chat = await application.post("/api/chat", json=body, headers=stranger.headers | {"Prefer": "respond-async"})
    assert [(400, "url"), (400, "callback_url")] == [
        (refused.status_code, refused.json()["errors"][0]["field"]) for refused in (hook, chat)
    ]
