"""Calling an operation of the table as somebody: requests from places, callers good and bad, answers made comparable."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
from joserfc import jwt

from api.auth.tokens.access_tokens import JWT_TYPE, AccessTokens
from api.resources import Resources
from schema.identity.api_keys import new_api_key
from schema.identity.rights import OWNER, RIGHTS, ROLES, SEES_ALL, Right, Role, rights_for_role
from tests.api.people import bearer
from tests.isolation.call_shapes import Call
from tests.isolation.routes import Operation
from tests.isolation.two_tenants import UNKNOWN, Holder
from tests.isolation.world import World
from tests.waiting import PATIENCE_S
from workers.job_tokens import JobCaller

UUIDS = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?")

Values = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """Somebody who calls, good or bad, and the statuses that a bad one may get."""

    name: str
    headers: Mapping[str, str]
    statuses: frozenset[int] = frozenset({401})


class Matrix:
    """The application, the world in it, and how one is called as somebody of the other."""

    def __init__(self, http: httpx.AsyncClient, resources: Resources, world: World) -> None:
        self.http, self.resources, self.world = http, resources, world

    async def call(
        self, operation: Operation, headers: Mapping[str, str], values: Values, *, content: bytes | None = None
    ) -> httpx.Response:
        """Send a request whose fields have these values, by place; `content` replaces its body. With a `file` it is a form."""
        path, body, query, sent = operation.path, {}, {}, dict(headers)
        files: Values = {}
        for place, value in values.items():
            where, _, name = place.partition(".")
            if where == "path":
                path = path.replace(f"{{{name}}}", quote(str(value), safe="/"))
            elif where == "body":
                put(body, name, value)
            elif where == "file":
                files[name] = (f"{uuid4().hex}.txt", value)
            else:
                (query if where == "query" else sent)[name] = value
        if content is not None:
            sent["Content-Type"] = "application/json"
        how: Values = {"files": files, "data": body} if files else {"json": body or None}
        if content is not None:
            how = {"content": content}
        async with asyncio.timeout(PATIENCE_S):  # a stream that should have been refused never ends
            return await self.http.request(operation.method, path, params=query, headers=sent, **how)

    def values(self, call: Call, holder: Holder) -> Values:
        """Return the fields of a right request about things of this holder, fresh ones."""
        fresh = {place: holder.new(ref.kind) for place, ref in call.refers.items()}
        fresh = {
            place: fresh["path.tenant"] if call.refers[place].kind == "same tenant" else name
            for place, name in fresh.items()
        }
        said = {
            place: value.replace("{fresh}", uuid4().hex[:8]) if isinstance(value, str) else value
            for place, value in call.send.items()
        }
        return {place: name for place, name in fresh.items() if name is not None} | said

    async def person(self, holder: Holder, role: Role, *, state: str = "active") -> dict[str, str]:
        """Return the headers of somebody new who has signed in."""
        _, token = await self.sign_in(holder, holder.user(role, state))
        return bearer(token)

    async def sign_in(self, holder: Holder, user_id: UUID, role: str = "member") -> tuple[UUID, str]:
        """Return a sign-in of a user with its token."""
        login_id = holder.login(user_id)
        user: Any = SimpleNamespace(id=user_id, role=role, email="x@example.com")
        return login_id, await self.resources.tokens.issue(holder.tenant_id, login_id, user)

    async def leader(self, call: Call) -> dict[str, str]:
        """Return the headers of A's owner, or of the platform's admin where an owner may not do this."""
        if call.right in rights_for_role("owner"):
            return await self.person(self.world.a, "owner")
        return await self.person(self.world.platform, "admin")

    async def bad_callers(self) -> list[Caller]:
        """Return everybody who is nobody, or nobody any more."""
        a, b = self.world.a, self.world.b
        past, out = datetime.now(UTC) - timedelta(minutes=1), frozenset({403})
        ended_id, ended = await self.sign_in(a, a.user("owner"))
        removed = a.user("owner")
        gone = (await self.sign_in(a, removed))[1]
        self.world.db.execute("UPDATE logins SET revoked_at = now() WHERE id = %s", (ended_id,))
        self.world.db.execute("DELETE FROM users WHERE id = %s", (removed,))
        disabled = Holder(a.db, "a", tenant_id=a.tenant_id, user_id=a.user("owner", "disabled"))
        found = a.api_key(role="owner")[1]
        secrets = {
            "rubbish": "rubbish",
            "a rubbish token": "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln",
            "a rubbish key": "hr_" + "0" * 46,
            "a key that nobody has": new_api_key(),
            "a key with another's secret": found[:11] + new_api_key()[11:],
            "an expired token": await self.forge(a, iat=time.time() - 7200, exp=time.time() - 3600),
            "a token for another audience": await self.forge(a, aud="somebody-else"),
            "a token of another issuer": await self.forge(a, iss="https://elsewhere.example.com"),
            "a token of B's sign-in that names A": await self.forge(b, tenant_id=str(a.tenant_id)),
            "a token of A's sign-in that names B": await self.forge(a, tenant_id=str(b.tenant_id)),
            "a token whose sign-in has ended": ended,
            "a job's token": await self.job_token(a, "erp.example.com"),
            "a job's token for our own audience": await self.job_token(a, "headrace"),
            "a job's token that says it is an access token": await self.forge(a, sid=None, job_id=str(uuid4())),
            "a token of a removed user": gone,
            "a token of a disabled user": (await self.sign_in(a, disabled.user_id or uuid4()))[1],
            "a key of a disabled user": disabled.api_key(role="owner")[1],
            "a revoked key": a.api_key(role="owner", revoked_at=past)[1],
            "an expired key": a.api_key(role="owner", expires_at=past)[1],
        }
        bad = [Caller("nobody", {}), *(Caller(name, bearer(secret)) for name, secret in secrets.items())]
        bad.append(Caller("rubbish as X-API-Key", {"X-API-Key": "rubbish"}))
        for state, holder in (("suspended", self.world.suspended), ("deleting", self.world.deleting)):
            bad.append(Caller(f"a key of a {state} tenant", bearer(holder.api_key(role="owner")[1]), out))
            bad.append(Caller(f"a token of a {state} tenant", await self.person(holder, "owner"), out))
        return bad

    async def forge(self, holder: Holder, **claims: Any) -> str:
        """Return a token that our own key signed and that says something else than ours do."""
        user_id, tokens = holder.user("owner"), self.resources.tokens
        assert isinstance(tokens, AccessTokens)
        key, now = await self.resources.signing.current(), int(time.time())
        said: Values = {
            "iss": self.resources.settings.issuer,
            "aud": "headrace",
            "sub": str(user_id),
            "jti": uuid4().hex,
        }
        said |= {"tenant_id": str(holder.tenant_id), "sid": str(holder.login(user_id)), "iat": now, "exp": now + 600}
        said |= {name: int(value) if isinstance(value, float) else value for name, value in claims.items()}
        return jwt.encode({"alg": "RS256", "typ": JWT_TYPE, "kid": key.kid}, said, key, algorithms=["RS256"])

    async def job_token(self, holder: Holder, audience: str) -> str:
        """Return a token as the service behind a tool would get it."""
        said: Values = {"issuer": self.resources.settings.issuer, "tenant_id": holder.tenant_id, "role": "owner"}
        caller = JobCaller(subject=str(holder.user("owner")), rights=OWNER, **said)
        return await self.resources.job_tokens.issue(caller, uuid4(), audience)

    async def weak_callers(self) -> dict[Right, list[Caller]]:
        """Return for each right everybody who is somebody and does not have it."""
        world, weak = self.world, frozenset({403})
        people: dict[Role, Holder] = {role: self._at_home(role) for role in ROLES}
        signed_in = {role: await self.person(home, role) for role, home in people.items()}
        keys = {role: bearer(home.api_key(role=role)[1]) for role, home in people.items()}
        member = Holder(world.db, "a", tenant_id=world.a.tenant_id, user_id=world.a.user("member"))
        risen = bearer(member.api_key(role="owner")[1])
        authenticator: dict[Right, list[Caller]] = {}
        for right in RIGHTS:
            lacking = [role for role in ROLES if right not in rights_for_role(role)]
            found = [Caller(f"a person who is {role}", signed_in[role], weak) for role in lacking]
            found += [Caller(f"a key that is {role}", keys[role], weak) for role in lacking]
            if right not in rights_for_role("member"):
                found.append(Caller("a member's key that says owner", risen, weak))
            if right != "self":
                others = [other for other in RIGHTS if other != right]
                for role in SEES_ALL:
                    key = people[role].api_key(role=role, scopes=others)[1]
                    found.append(Caller(f"a key of an {role} without this scope", bearer(key), weak))
            for role in lacking:
                key = people[role].api_key(role=role, scopes=list(RIGHTS))[1]
                found.append(Caller(f"a key of a {role} with every scope", bearer(key), weak))
            authenticator[right] = found
        return authenticator

    def _at_home(self, role: Role) -> Holder:
        return self.world.platform if role == "admin" else self.world.a


def put(body: Values, name: str, value: Any) -> None:
    """Set a field of a body by its place: `ids[]`, `owner.email`, `items[].id`."""
    head, _, rest = name.partition(".")
    if rest and head.endswith("[]"):
        put(body.setdefault(head[:-2], [{}])[0], rest, value)
    elif rest:
        put(body.setdefault(head, {}), rest, value)
    elif head.endswith("[]"):
        body[head[:-2]] = [value]
    else:
        body[head] = value


def unknown(kind: str) -> str:
    """Return how something is named that nobody has."""
    return UNKNOWN[kind]() if kind in UNKNOWN else str(uuid4())


def made_up(operation: Operation) -> Values:
    """Return values for what stands in the path, so that the route is found."""
    names = re.findall(r"{(\w+)}", operation.path)
    whole = "x/y" if "/models/" in operation.path or "/grants/" in operation.path else "x"
    return {
        f"path.{name}": uuid4() if f"path.{name}" in operation.ids else {"kind": "model"}.get(name, whole)
        for name in names
    } | {f"path.{name}": "x" for name in names if name == "tenant"}


def told(answer: httpx.Response, name: str) -> tuple[int, str]:
    """Return what an answer tells, without what differs from request to request: the name that was asked for, ids, times."""
    text = answer.text.replace(quote(name, safe="/"), "…").replace(name, "…")
    return answer.status_code, TIMES.sub("…", UUIDS.sub("…", text))
