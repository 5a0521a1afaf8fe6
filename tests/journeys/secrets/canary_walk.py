"""A walk through headrace that leaves canaries everywhere a user can leave something, on ways that succeed and that fail."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg

from api.local.stores.local_stores import Stores
from schema.identity.rights import Role
from schema.vault import new_secret_key
from tests.conftest import TestTenant, make_tenant
from tests.counterparts.echo_server import EchoServer
from tests.counterparts.http_server import CounterpartServer, Exchange, chunk
from tests.journeys.client import Client
from tests.journeys.secrets.canaries import CanaryFinder
from tests.journeys.secrets.leak_search import Place
from tests.system import ROOT, System
from tests.waiting import wait_for

POISON = "poisoned"
POISONED = {"sessions": "title", "users": "name", "messages": "parts::text"}
"""Column of a table → what must not hold POISON while `Walk.provoke_errors` runs."""


class Vendor(CounterpartServer):
    """A vendor of models that are named for what becomes of a request: `speaks`, `stalls`, `poisons`, `quotes` (the prompt,
    in a refusal), `echoes-S` (the key, with status S)."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer, self._stalls = answer, asyncio.Event()

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    async def handle(self, exchange: Exchange) -> None:
        manner, _, status = exchange.record.model.partition("-")
        if manner == "echoes" or not exchange.path.endswith("/chat/completions"):
            await EchoServer.handle(EchoServer(int(status or 401)), exchange)
        elif manner == "quotes":
            said = json.dumps(exchange.record.body["messages"], ensure_ascii=False)
            exchange.answer(400, {"error": {"message": f"Not allowed: {said}", "type": "invalid_request_error"}})
        else:
            await self._speak(exchange, manner)

    async def _speak(self, exchange: Exchange, manner: str) -> None:
        exchange.begin("text/event-stream")
        for word in (POISON if manner == "poisons" else "Well", ": ", self._answer):
            _say(exchange, {"content": word})
        if manner == "stalls":
            await exchange.until_gone()
        _say(exchange, {}, "stop")
        exchange.write(chunk(b"data: [DONE]\n\n"))
        exchange.end()


def _say(exchange: Exchange, delta: dict[str, str], reason: str | None = None) -> None:
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": exchange.record.model}
    said = {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    exchange.write(chunk(b"data: " + json.dumps(said).encode() + b"\n\n"))


@dataclass
class Walk:
    """Who walks where, and what was heard on the way: errors, and what another tenant was told."""

    find: CanaryFinder
    stores: Stores
    system: System
    vendor: Vendor
    owner: TestTenant
    stranger: TestTenant
    jobs: list[str] = field(default_factory=list)
    errors: list[Place] = field(default_factory=list)
    told: list[Place] = field(default_factory=list)
    open: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> "Walk":
        self.key = await self._client(self.owner.headers)
        self.other = await self._client(self.stranger.headers)
        self.nobody = await self._client({})
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.open.aclose()

    async def _client(self, headers: dict[str, str]) -> Client:
        return await self.open.enter_async_context(Client(self.system.url, headers))

    async def ask(
        self, who: Client, method: str, path: str, *statuses: int, body: Any = None, **headers: str
    ) -> dict[str, Any]:
        """Send a request that must be answered with one of `statuses`; what the answer says is kept if it is an error."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = {"data": body} if isinstance(body, str) else {"json": body}
        if isinstance(body, str):
            named["Content-Type"] = "application/json"
        async with who.http.request(method, path, headers=named, **raw) as answer:
            said = await answer.read()
            assert answer.status in (statuses or (200, 201, 202, 204)), f"{method} {path}: {answer.status} {said!r}"
            whole = str(dict(answer.headers)).encode() + said
            if answer.status >= 400:
                self.errors.append((f"the answer to {method} {path.partition('?')[0]}", whole))
            if who is self.other:
                self.told.append((f"what a stranger got for {method} {path.partition('?')[0]}", whole))
            if job_id := answer.headers.get("X-Job-ID"):
                self.jobs.append(job_id)
        return json.loads(said) if said.startswith(b"{") else {"said": said.decode()}

    async def chat(self, who: Client, model: str, message: str, *statuses: int, **fields: Any) -> dict[str, Any]:
        body = {"model": f"openai/{model}", "message": message, **fields}
        return await self.ask(who, "POST", "/api/chat", *statuses, body=body)

    async def later(self, who: Client, model: str, message: str) -> str:
        """Have something answered by and by; return the job's id."""
        body = {"model": f"openai/{model}", "message": message}
        return (await self.ask(who, "POST", "/api/chat", 202, body=body, Prefer="respond-async"))["job_id"]

    # -- what people do

    async def sign_in(self) -> None:
        """Make a person and sign them in, with and without the right password."""
        find = self.find
        email = find.make("email", "ada.{}@example.com")
        name, password = find.make("name", 'Ada "É" {}'), find.make("password", 'mühle "{}" rad')
        wrong = find.make("wrong password", "water \\ {} wheel")
        person = {"email": email, "name": name, "password": password, "role": "member"}
        self.user_id = (await self.ask(self.key, "POST", "/api/users", 201, body=person))["id"]
        await self.ask(self.key, "POST", "/api/users", 409, body=person)
        right = {"tenant": self.owner.slug, "email": email, "password": password}
        for bad in ({"password": wrong}, {"email": wrong}, {"tenant": wrong}, {"tenant": password, "email": password}):
            await self.ask(self.nobody, "POST", "/api/auth/login", 401, body={**right, **bad})
        await self.ask(self.nobody, "POST", "/api/auth/login", 400, body={**right, "password": [password]})
        first = await self.ask(self.nobody, "POST", "/api/auth/login", body=right)
        self._know(first)
        refresh = {"refresh_token": first["refresh_token"]}
        self._know(await self.ask(self.nobody, "POST", "/api/auth/refresh", body=refresh))
        with psycopg.connect(self.stores.database_url) as db:
            db.execute("UPDATE refresh_tokens SET used_at = used_at - interval '1 minute'")
        await self.ask(self.nobody, "POST", "/api/auth/refresh", 401, body=refresh)  # used again: the sign-in ends
        tokens = await self.ask(self.nobody, "POST", "/api/auth/login", body=right)
        self._know(tokens)
        self.ada = await self._client({"Authorization": f"Bearer {tokens['access_token']}"})
        made = await self.ask(self.ada, "POST", "/api/auth/keys", 201, body={"name": "test"})
        find.add("API key", made["key"], made["key"][11:])
        self.by_key = await self._client({"X-API-Key": made["key"]})

    def _know(self, tokens: dict[str, Any]) -> None:
        access, refresh = tokens["access_token"], tokens["refresh_token"]
        self.find.add("access token", access, *access.split(".")[1:])
        self.find.add("refresh token", refresh, refresh[-40:])

    async def talk(self) -> None:
        """Chats that end well: as JSON, as events, in a session with a title, again under the same key, OpenAI's way."""
        find, ada = self.find, self.ada
        prompt, title = find.make("prompt", 'Why "é" \n {}?'), find.make("title", "Wasser / Rad & {}")
        session = await self.ask(ada, "POST", "/api/sessions", 201, body={"title": title})
        once = find.make("idempotency key", "once-{}")
        body = {"model": "openai/speaks", "message": prompt, "session_id": session["id"]}
        for _ in range(2):
            await self.ask(ada, "POST", "/api/chat", 200, body=body, Idempotency_Key=once)
        await self.ask(ada, "POST", "/api/chat", 422, body={**body, "message": "?"}, Idempotency_Key=once)
        async with await ada.ask("speaks", prompt) as stream:
            await stream.rest()
        self.jobs.append(stream.job_id)
        await self.chat(self.by_key, "speaks", prompt, 200)
        system, question = find.make("system prompt", "Be brief, {}."), find.make("question", "And why {}?")
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        for streams in (False, True):
            body = {"model": "openai/speaks", "messages": messages, "stream": streams}
            await self.ask(ada, "POST", "/v1/chat/completions", 200, body=body)
        self.session_id = session["id"]

    async def store_keys(self) -> None:
        """A provider key that works at a vendor who tells it to everybody; and keys in the wrong places."""
        key = self.find.make("provider key", "sk-{}aB3dE6gH9")
        self.find.add("provider key", key, key[:14], key[-12:])
        body = {"service_name": "openai", "api_key": key, "base_url": self.vendor.base_url}
        await self.ask(self.key, "POST", "/api/api-keys", 422, body={**body, "validate": True})
        await self.ask(self.key, "POST", "/api/api-keys", 201, body=body)
        assert not (await self.ask(self.key, "POST", "/api/api-keys/openai/test"))["ok"]
        for wrong in ({"service_name": key}, {"base_url": key}, {key: key}, {"api_key": f" {key}"}, {"validate": key}):
            await self.ask(self.key, "POST", "/api/api-keys", 400, body={**body, **wrong})

    async def have_webhooks(self) -> None:
        """Make an endpoint with a secret and a header, and others that are refused."""
        secret, header = (
            self.find.make("webhook secret", "whsec_{}AAAAAAAA"),
            self.find.make("webhook header", "key-{}"),
        )
        wrong = self.find.make("wrong webhook secret", "whsec-{}")
        hook = {"url": "http://127.0.0.1:9/", "events": ["job.*"], "secret": secret, "headers": {"X-Api-Key": header}}
        made = await self.ask(self.key, "POST", "/api/webhooks", 201, body=hook)
        for bad in ({"secret": wrong}, {"secret": [secret]}, {"headers": {"X": [header]}}, {"events": ["x"]}):
            await self.ask(self.key, "POST", "/api/webhooks", 400, body={**hook, **bad})
        path = f"/api/webhooks/{made['id']}"
        await self.ask(self.key, "PATCH", path, body={"headers": {"X-Api-Key": header, "X-Other": header}})
        await self.ask(self.key, "POST", f"{path}/rotate-secret", 400, body={"secret": wrong})
        rotated = await self.ask(self.key, "POST", f"{path}/rotate-secret", body={})
        self.find.add("rotated webhook secret", rotated["secret"], rotated["secret"][10:])
        await self.ask(self.other, "GET", path, 404)

    async def go_wrong(self) -> None:
        """Vendors that refuse, fail and stall, a cancel, bodies that are none, paths that there are not."""
        find, ada, key = self.find, self.ada, self.owner.key
        prompt, quoted = find.make("failed prompt"), find.make("quoted prompt")
        self.slow = [await self.later(self.key, model, prompt) for model in ("stalls", "echoes-500", "echoes-302")]
        for model in ("echoes-401", "echoes-403"):
            await self.chat(ada, model, prompt, 502)
        await self.chat(ada, "quotes", quoted, 400, 502)
        async with await ada.ask("stalls", prompt) as stream:
            await stream.until("message.delta")
            await ada.cancel(stream.job_id)
        lost = find.make("lost text", "lost {}")
        for body in (f'{{"message": "{lost}', f'{{"message": {{"{lost}": 1}}}}', f'{{"{lost}": 1, "message": "a"}}'):
            await self.ask(ada, "POST", "/api/chat", 400, body=body)
            await self.ask(ada, "POST", "/v1/chat/completions", 400, body=body)
        for query in (f"nothing?token={lost}", f"jobs?limit={lost}", f"jobs?cursor={lost}", f"jobs?state={lost}"):
            await self.ask(ada, "GET", f"/api/{query}", 400, 404)
        for path in (f"/api/nothing?key={key}", f"/api/jobs?limit={key}", f"/api/jobs/{key}", f"/{key}/chat"):
            await self.ask(self.nobody, "GET", path, 400, 401, 404, 405)
        for secret in (lost, key[:-1] + "!", f"hr_{lost}", f"eyJ.{lost}.{lost}"):
            await self.ask(self.nobody, "GET", "/api/auth/me", 401, X_API_Key=secret)
        await self._say_nonsense(f"GET /?key={key} {lost}\r\nAuthorization: {key}\r\n\r\n")
        for code in ("provider_stalled", "provider_overloaded"):
            await wait_for(lambda code=code: code in self.system.log("chat"), f"a job failed with {code}")

    async def _say_nonsense(self, text: str) -> None:
        """Send what is no HTTP."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.system.ports["api"])
        writer.write(text.encode())
        self.errors.append(("the answer to nonsense", await reader.read()))
        writer.close()

    async def look_from_outside(self) -> None:
        """What another tenant asks about these jobs, sessions and people; its own vendor echoes its key too."""
        for job_id in self.jobs[-3:]:
            for path in ("", "/events"):
                await self.ask(self.other, "GET", f"/api/jobs/{job_id}{path}", 404)
            await self.ask(self.other, "POST", f"/api/jobs/{job_id}/cancel", 404)
        for path in (f"sessions/{self.session_id}", f"sessions/{self.session_id}/messages", f"users/{self.user_id}"):
            await self.ask(self.other, "GET", f"/api/{path}", 404)
        for path in ("jobs", "sessions", "users", "api-keys", "audit", "tenant", "tenant/metrics", "auth/keys"):
            await self.ask(self.other, "GET", f"/api/{path}", 200)
        await self.chat(self.other, "speaks", "Tell me.", 404, session_id=self.session_id)
        await self.chat(self.other, "echoes-401", "Tell me.", 502)
        for path in ("/health", "/health/ready", "/v1/models", "/schema"):
            await self.ask(self.other, "GET", path, 200)

    async def kill_a_worker(self) -> None:
        """A worker that dies in mid-answer; the one that goes on opens the tenant's key as it was sealed anew."""
        async with await self.ada.ask("stalls", self.find.make("killed prompt")) as stream:
            await stream.until("message.delta")
            self.system.kill("chat")
            self.system.start("chat")
            await stream.until("job.restarted")
            await self.ada.cancel(stream.job_id)
            await stream.rest()
        await self.chat(self.key, "speaks", self.find.make("resealed prompt"), 200)

    async def provoke_errors(self) -> None:
        """Have Postgres refuse rows, whose values it then tells in its errors: here and in a worker."""
        with psycopg.connect(self.stores.database_url, autocommit=True) as db:
            for table, what in POISONED.items():
                check = f"CHECK (position('{POISON}' IN {what}) = 0)"
                db.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_{POISON} {check} NOT VALID")
        unseen = self.find.make("unseen text", POISON + " {}")
        await self.ask(self.ada, "POST", "/api/sessions", 500, body={"title": unseen})
        person = {"email": f"{unseen[-24:]}@example.com", "name": unseen, "password": f"{unseen} {unseen}"}
        await self.ask(self.key, "POST", "/api/users", 500, body=person)
        await self.chat(self.ada, "speaks", unseen, 500)
        await self.later(self.ada, "poisons", self.find.make("poisoned prompt"))

    async def rotate_keys(self) -> None:
        """Seal everything anew with a key that no running process knows, so that they can't open it any more."""
        fresh = self.find.add("secret key", new_secret_key())
        self.system.env["HEADRACE_SECRET_KEYS"] = f"{fresh},{self.system.env['HEADRACE_SECRET_KEYS']}"
        with (self.system.folder / "rotate.log").open("wb") as log:
            command = [sys.executable, "-m", "api", "rotate-keys"]
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=self.system.env, stdout=log, stderr=log
            )
            assert 0 == await process.wait(), (self.system.folder / "rotate.log").read_text()
        assert not (await self.ask(self.key, "POST", "/api/api-keys/openai/test"))["ok"]

    async def lose_postgres(self) -> None:
        """What is asked for while Postgres is away for a moment."""
        assert self.stores.postgres is not None
        self.stores.postgres.kill()
        try:
            await self.chat(self.key, "speaks", self.find.make("unheard prompt"), 503)
            login = {"tenant": "t", "email": "a@b", "password": self.find.make("unheard password")}
            await self.ask(self.nobody, "POST", "/api/auth/login", 503, body=login)
        finally:
            self.stores.postgres.start()  # in this thread, or it would die with another

    async def end_jobs(self) -> None:
        """Wait until the poisoned answer was refused, then cancel what would be tried again."""
        await wait_for(lambda: "CheckViolation" in self.system.log("chat"), "an answer could not be stored")
        for job_id in self.slow:
            await self.key.cancel(job_id)
        for job_id in self.slow:
            await self.key.ended(job_id)


def make_walk(find: CanaryFinder, stores: Stores, system: System, vendor: Vendor) -> Walk:
    """Return a walk for two fresh tenants."""
    role: Role = "owner"
    owner, stranger = make_tenant(stores.database_url, role=role), make_tenant(stores.database_url, role=role)
    for name, tenant in (("owner's key", owner), ("stranger's key", stranger)):
        find.add(name, tenant.key, tenant.key[11:])
    return Walk(find, stores, system, vendor, owner, stranger)
