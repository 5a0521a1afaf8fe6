"""Widgets over HTTP: who may have one in a page, what a stranger can do with its public key, and what not."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from api.widgets import visits
from api.widgets.frames import for_visitors
from schema.events import (
    AgentRouted,
    JobFailed,
    JobQueued,
    JobRestarted,
    JobStarted,
    ReasoningDelta,
    ToolFinished,
    ToolStarted,
    encode_frame,
    read_frames,
)
from schema.events.answers import MessageCompleted, MessageDelta, UsageRecorded
from schema.events.base import Event, Reason
from schema.ids import new_id
from tests.api.conftest import calling
from tests.api.people import audit_entries
from tests.conftest import TestTenant
from tests.waiting import wait_for
from tests.workers.jobs import change, rows
from tests.workers.retained_rows import configure
from workers.limits import minutes

TENANT_ROLE = "owner"

WIDGETS = "/api/widgets"
PAGE = "https://shop.example.com"
CORS = "access-control-allow-origin"


@dataclass
class Page:
    """A page of `origin` that has a widget, and what it keeps of a visitor."""

    http: httpx.AsyncClient
    owner: httpx.AsyncClient
    key: str
    origin: str | None = PAGE
    visit: str = ""

    def headers(self) -> dict[str, str]:
        named = {"Origin": self.origin} if self.origin else {}
        return named | ({"Authorization": f"Bearer {self.visit}"} if self.visit else {})

    async def get(self, path: str = "") -> httpx.Response:
        return await self.http.get(f"/api/embed/{self.key}{path}", headers=self.headers())

    async def post(self, path: str = "/messages", body: Any = None) -> httpx.Response:
        return await self.http.post(f"/api/embed/{self.key}{path}", json=body, headers=self.headers())

    async def ask(self, text: str = "Do you have robusta?") -> list[tuple[str, Any]]:
        """Ask; the owner stops the answer, since nobody works here. Returns the events of the stream."""
        before = {job["id"] for job in (await self.owner.get("/api/jobs")).json()["items"]}
        asking = asyncio.create_task(self.post(body={"text": text}))

        async def find() -> str | None:
            jobs = (await self.owner.get("/api/jobs")).json()["items"]
            return next((job["id"] for job in jobs if job["id"] not in before), None)

        job_id = await wait_for(find, "the message is a job")
        await self.owner.post(f"/api/jobs/{job_id}/cancel")
        answer = await asking
        assert 200 == answer.status_code, answer.text
        assert (self.origin, "Origin" in answer.headers["vary"]) == (answer.headers[CORS], True)
        events = [(event.split("\n"),) for event in answer.text.split("\n\n") if event and not event.startswith(":")]
        told = [{line.partition(": ")[0]: line.partition(": ")[2] for line in lines} for (lines,) in events]
        told_pairs = [(one["event"], json.loads(one["data"])) for one in told]
        self.visit = next((data["visit"] for name, data in told_pairs if name == "opened"), self.visit)
        return told_pairs


@pytest.fixture
def agents(database_url: str, tenant: TestTenant) -> None:
    configure(database_url, tenant)  # an agent `n`
    sql = "INSERT INTO grants (tenant_id, kind, name, overrides) VALUES (%s, 'model', 'openai/*', '{}')"
    change(database_url, sql, tenant.id)


async def make(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    made = await api.post(WIDGETS, json={"name": "Shop", "agent": "n", "origins": [PAGE], **fields})
    assert 201 == made.status_code, made.text
    return made.json()


@pytest.fixture
async def page(api: httpx.AsyncClient, application: httpx.AsyncClient, agents: None) -> Page:
    return Page(application, api, (await make(api))["key"])


async def test_a_visitor_asks_one_agent_and_reads_only_the_answer(
    page: Page, api: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    opened = await page.get()
    assert ({"title": "", "greeting": ""}, PAGE) == (opened.json(), opened.headers[CORS])
    events = await page.ask()
    assert ["opened", "stopped"] == [name for name, _ in events]
    assert {} == dict(events)["stopped"]
    (job,) = rows(database_url, "SELECT agent, user_id, session_id FROM jobs WHERE tenant_id = %s", tenant.id)
    assert ("n", None) == (job["agent"], job["user_id"])
    said = (await page.get("/messages")).json()
    assert ([{"role": "user", "text": "Do you have robusta?", "complete": True}], False) == (
        said["items"],
        said["answering"],
    )
    assert ["stopped"] == [name for name, _ in await page.ask("And arabica?")]
    assert 204 == (await page.post("/stop")).status_code

    assert [] == (await api.get("/api/sessions")).json()["items"], "a visitor's conversation is not the owner's own"
    (widget,) = (await api.get(WIDGETS)).json()["items"]
    found = (await api.get("/api/sessions", params={"widget": widget["id"]})).json()["items"]
    assert [(str(job["session_id"]), 2)] == [(one["id"], one["turns"]) for one in found]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://shop.example.com", f"{PAGE}:8443", f"{PAGE}.evil.example", None]
)
async def test_pages_of_other_origins_get_nothing_and_can_read_nothing(page: Page, origin: str | None) -> None:
    page.origin = origin
    for answer in (await page.get(), await page.post(body={"text": "hi"}), await page.get("/messages")):
        assert (403, False) == (answer.status_code, CORS in answer.headers)
    asked = {"Access-Control-Request-Method": "POST", **page.headers()}
    answer = await page.http.options(f"/api/embed/{page.key}/messages", headers=asked)
    assert (403, False) == (answer.status_code, CORS in answer.headers)


async def test_a_request_of_two_pages_is_refused_whichever_comes_first(page: Page) -> None:
    path = f"/api/embed/{page.key}"
    for others in (PAGE, "https://evil.example"):
        answer = await page.http.get(path, headers=[("Origin", PAGE), ("Origin", others)])
        assert (400, False, "Origin") == (
            answer.status_code,
            CORS in answer.headers,
            answer.json()["errors"][0]["field"],
        )


async def test_a_parameter_that_a_widget_does_not_know_is_refused_and_named(page: Page) -> None:
    answer = await page.http.get(f"/api/embed/{page.key}?x=1", headers=page.headers())
    said = (answer.status_code, answer.headers[CORS], answer.json()["detail"])
    assert (400, PAGE, "Unknown query parameter x. This path takes none.") == said


async def test_a_visitor_who_asks_too_soon_is_told_what_a_visitor_can_do(page: Page) -> None:
    await page.ask()
    asking = asyncio.create_task(page.post(body={"text": "And arabica?"}))

    async def answering() -> bool:
        return (await page.get("/messages")).json()["answering"]

    await wait_for(answering, "the second answer is awaited")
    refused = (await page.post(body={"text": "And liberica?"})).json()
    assert ("session_busy", None) == (refused["code"], refused.get("errors"))
    assert "Wait for its end, or stop it." in refused["detail"]
    await page.post("/stop")
    await asking


async def test_a_browser_is_told_before_it_asks_and_never_to_send_cookies(page: Page) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = await page.http.options(f"/api/embed/{page.key}/messages", headers=asked)
    assert (204, PAGE) == (answer.status_code, answer.headers[CORS])
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert "null" != answer.headers[CORS]


async def test_a_page_of_our_own_origin_may_leave_it_out(page: Page, api: httpx.AsyncClient) -> None:
    own = await make(api, origins=["http://localhost:8000"])
    path, same = f"/api/embed/{own['key']}", {"Sec-Fetch-Site": "same-origin"}
    assert 200 == (await page.http.get(path, headers=same)).status_code
    assert 403 == (await page.http.get(path, headers={"Sec-Fetch-Site": "cross-site"})).status_code
    assert 403 == (await page.http.get(f"/api/embed/{page.key}", headers=same)).status_code


@pytest.mark.usefixtures("agents")
async def test_the_public_key_opens_nothing_else(page: Page, application: httpx.AsyncClient) -> None:
    for headers in ({"Authorization": f"Bearer {page.key}"}, {"X-API-Key": page.key}):
        for path in ("/api/auth/me", "/api/sessions", "/api/jobs", "/api/agents", "/v1/models", WIDGETS):
            assert 401 == (await application.get(path, headers=headers | {"Origin": PAGE})).status_code, path
        chat = await application.post("/api/chat", json={"message": "hi"}, headers=headers)
        assert 401 == chat.status_code
    session = await application.post(
        "/api/auth/session", json={"api_key": page.key}, headers={"Origin": "http://test", "X-Headrace-Console": "1"}
    )
    assert session.status_code in (401, 403)
    for body in (
        {"text": "hi", "agent": "m"},
        {"text": "hi", "model": "openai/text-5"},
        {"text": "hi", "session_id": str(new_id())},
    ):
        assert 400 == (await page.post(body=body)).status_code


async def test_a_conversation_belongs_to_whoever_has_its_secret(
    page: Page, api: httpx.AsyncClient, application: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    await page.ask()
    own = page.visit
    other = Page(application, api, (await make(api))["key"])
    session = (await api.post("/api/sessions", json={"title": "mine"})).json()
    tampered = own[:-4] + ("AAAA" if own[-4:] != "AAAA" else "BBBB")
    of_owner = visits.new_bound_secret(visits.PREFIX, tenant.id, UUID(session["id"]))
    elsewhere = visits.new_bound_secret(visits.PREFIX, new_id(), new_id())
    for secret in (tampered, of_owner, elsewhere, tenant.key, "hrv_", "x" * 5000):
        page.visit = secret
        for answer in (
            await page.get("/messages"),
            await page.get("/events"),
            await page.post("/stop"),
            await page.post(body={"text": "hi"}),
        ):
            assert (401, PAGE) == (answer.status_code, answer.headers[CORS]), secret[:12]
    other.visit = own
    assert 401 == (await other.get("/messages")).status_code, "another widget's"
    other.visit = ""
    assert 401 == (await other.get("/messages")).status_code, "no secret"
    (kept,) = rows(
        database_url, "SELECT visit_digest FROM sessions WHERE widget_id IS NOT NULL AND tenant_id = %s", tenant.id
    )
    assert own not in kept["visit_digest"]
    assert 401 == (await application.get("/api/sessions", headers={"Authorization": f"Bearer {own}"})).status_code


async def test_a_flood_is_stopped_for_an_address_and_for_all(
    page: Page, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "MESSAGES_OF_ADDRESS", 2)
    monkeypatch.setattr(minutes.time, "time", lambda: 1_800_000_000.0)
    for _ in range(2):
        assert 400 == (await page.post(body={"text": " "})).status_code  # counted, whatever it says
    answer = await page.post(body={"text": "hi"})
    assert (429, "60", PAGE) == (answer.status_code, answer.headers["retry-after"], answer.headers[CORS])
    assert 200 == (await page.get()).status_code, "reading goes on"
    monkeypatch.setattr(visits, "CALLS_OF_ADDRESS", 1)
    assert 429 == (await page.get()).status_code
    slow = Page(page.http, api, (await make(api, messages_per_minute=1))["key"])
    monkeypatch.setattr(visits, "CALLS_OF_ADDRESS", 100)
    assert [400, 429] == [(await slow.post(body={"text": " "})).status_code for _ in range(2)]


def test_a_household_of_ipv6_is_one_address() -> None:
    assert visits.network_of("2001:db8:1:2::7") == visits.network_of("2001:db8:1:2:ffff::1")
    assert visits.network_of("2001:db8:1:3::7") != visits.network_of("2001:db8:1:2::7")
    assert visits.network_of("::ffff:10.0.0.1") != visits.network_of("::ffff:10.0.0.2")
    assert ("10.0.0.1", "unknown") == (visits.network_of("10.0.0.1"), visits.network_of(None))


async def test_what_it_may_cost_is_the_widgets_and_strangers_are_not_told(
    page: Page, api: httpx.AsyncClient, application: httpx.AsyncClient, database_url: str, tenant: TestTenant
) -> None:
    (widget,) = (await api.get(WIDGETS)).json()["items"]
    assert 5.0 == widget["budget_day_usd"], "a public key has a budget unless its owner says otherwise"
    changed = await api.patch(f"{WIDGETS}/{widget['id']}", json={"tokens_per_day": 1})
    assert (200, 1) == (changed.status_code, changed.json()["tokens_per_day"])
    answer = await page.post(body={"text": "hi"})
    assert (429, "rate_limit_exceeded") == (answer.status_code, answer.json()["code"])
    assert "budget" not in answer.text.lower()
    await api.patch(f"{WIDGETS}/{widget['id']}", json={"tokens_per_day": None})
    change(database_url, "DELETE FROM agents WHERE tenant_id = %s", tenant.id)
    await api.post("/api/admin/agents/reload")  # forgets what is cached of the tenant
    answer = await page.post(body={"text": "hi"})
    assert (503, False) == (answer.status_code, "Agents" in answer.text)


async def test_owners_look_after_widgets_apart_from_keys(
    page: Page,
    api: httpx.AsyncClient,
    application: httpx.AsyncClient,
    database_url: str,
    tenant: TestTenant,
    stranger: TestTenant,
) -> None:
    (widget,) = (await api.get(WIDGETS)).json()["items"]
    path = f"{WIDGETS}/{widget['id']}"
    assert widget["id"] not in (await api.get("/api/auth/keys")).text
    assert 404 == (await api.delete(f"/api/auth/keys/{widget['id']}")).status_code
    assert 404 == (await api.patch(f"/api/auth/keys/{widget['id']}", json={"tokens_per_day": 1})).status_code
    async with calling(application, stranger.key) as other:
        assert [] == (await other.get(WIDGETS)).json()["items"]
        assert [404, 404, 404] == [
            (await other.request(method, path, json=body)).status_code
            for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None))
        ]
    for origin in (
        "https://shop.example.com/path",
        "*",
        "shop.example.com",
        "https://*.example.com",
        "null",
        "ftp://a.example",
    ):
        refused = await api.patch(path, json={"origins": [origin + "x" * (8 - len(origin))]})
        assert (400, "origins[0]") == (refused.status_code, refused.json()["errors"][0]["field"]), origin
    assert "agent_unknown" == (await api.patch(path, json={"agent": "nobody"})).json()["code"]
    kept = await api.patch(path, json={"origins": ["HTTPS://Other.example.com:443"], "greeting": "Hello!"})
    assert ["https://other.example.com"] == kept.json()["origins"]
    assert 403 == (await page.get()).status_code
    page.origin = "https://other.example.com"
    assert "Hello!" == (await page.get()).json()["greeting"]
    assert 0.0 == (await api.get(path)).json()["spent"]["day_usd"]
    assert 204 == (await api.delete(path)).status_code
    answer = await page.get()
    assert (404, False) == (answer.status_code, CORS in answer.headers)
    assert (404, []) == ((await api.get(path)).status_code, (await api.get(WIDGETS)).json()["items"])
    assert [1, 1, 1] == [
        len(audit_entries(database_url, tenant.id, f"widget.{entry}")) for entry in ("created", "changed", "deleted")
    ]


def test_visitors_see_the_answer_and_not_how_it_is_made() -> None:
    secret = "ERP-7 secret"
    events: list[Event] = [
        JobQueued(kind="chat", model=secret, agent=secret),
        JobStarted(attempt=1, worker=secret),
        AgentRouted(agent=secret, graph="react", reason=secret),
        ReasoningDelta(text=secret),
        ToolStarted(call_id="1", name=secret, arguments={"sku": secret}),
        ToolFinished(call_id="1", name=secret, ok=True, output=secret, duration_ms=1),
        MessageDelta(text="We have "),
        JobRestarted(attempt=2, reason=secret, discard_after=6, worker=secret),
        MessageDelta(text="42."),
        MessageCompleted(text="42.", agent=secret, data={"cost": secret}, resolved_model=secret),
        UsageRecorded(model=secret, input_tokens=1, output_tokens=1),
        JobFailed(error=Reason("provider_failed", secret)),
    ]
    chunk = b"".join(encode_frame(event, "j", seq, "t") for seq, event in enumerate(events, 1))
    seen = for_visitors(chunk)
    assert secret.encode() not in seen
    assert [5, 7, 8, 9, 10, 12] == [frame.seq for frame in read_frames(seen)]
    assert b'id: 8\nevent: restarted\ndata: {"discard_after":6}' in seen
    assert b": keep-alive\n\n" == for_visitors(b": keep-alive\n\n")
