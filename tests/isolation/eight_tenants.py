"""Eight tenants with people and keys, where every row says whose it is, and what each of them may ask and must hear."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg

from tests.api.people import bearer
from tests.counterparts.openai.server import LISTED
from tests.isolation.two_tenants import Holder, Row

TENANTS, MEMBERS, SESSIONS = 8, 3, 4


@dataclass(frozen=True)
class Asker:
    """Somebody with a key. `markers` are the canaries that may be heard, `own` what is theirs, by kind."""

    name: str
    headers: dict[str, str]
    role: str
    tenant: "Tenant"
    markers: frozenset[str]
    own: dict[str, list[str]]
    user_id: UUID | None = None


@dataclass(frozen=True)
class Tenant:
    """A tenant of the crowd: its first client's key sees all of it, each member's key what is theirs."""

    holder: Holder
    model: str
    askers: list[Asker] = field(default_factory=list)

    @property
    def everything(self) -> dict[str, list[str]]:
        """What the tenant has, its members' things included."""
        return self.askers[0].own


@dataclass(frozen=True)
class Asked:
    """One request and what its answer must be. `says`: whose canary it must hold, where it must hold one."""

    asker: Asker
    path: str
    status: int = 200
    says: Literal["theirs", "the tenant's"] | None = None
    title: str | None = None

    @property
    def body(self) -> dict[str, Any] | None:
        return {"title": self.title} if self.title else None


def make_crowd(db: psycopg.Connection[Row]) -> list[Tenant]:
    """Make the tenants."""
    return [_make_tenant(db, number) for number in range(TENANTS)]


def _make_tenant(db: psycopg.Connection[Row], number: int) -> Tenant:
    model = f"openai/{LISTED[number % len(LISTED)]}"
    holder = Holder.of_new_tenant(db, "ab"[number % 2], models=[model])
    holder.everything()
    holder.audited()
    holder.grant()
    holder.egress_grant()
    members = [Holder(db, holder.letter, tenant_id=holder.tenant_id, user_id=holder.user()) for _ in range(MEMBERS)]
    tenant = Tenant(holder, model)
    owned = {member.marker: _belongings(member) for member in members}
    own = _belongings(holder)
    for kind in own:
        own[kind] += [name for names in owned.values() for name in names[kind]]
    heard = frozenset({holder.marker, *owned})
    tenant.askers.append(Asker("the owner", bearer(holder.api_key(role="owner")[1]), "owner", tenant, heard, own))
    for member in members:
        # A person's key is named after their tenant's marker, which their list of keys may show.
        headers, heard = bearer(member.api_key()[1]), frozenset({member.marker})
        tenant.askers.append(Asker("a member", headers, "member", tenant, heard, owned[member.marker], member.user_id))
    return tenant


def _belongings(holder: Holder) -> dict[str, list[str]]:
    return {
        "sessions": [holder.session() for _ in range(SESSIONS)],
        "jobs": [holder.job(kind) for kind in ("ended job", "failed job")],
    }


def requests(crowd: list[Tenant], count: int, seed: int) -> Iterator[Asked]:
    """Yield so many requests, mixed; one in four is for something of somebody else."""
    dice = random.Random(seed)
    askers = [asker for tenant in crowd for asker in tenant.askers]
    for number in range(count):
        asker = dice.choice(askers)
        yield _foreign(asker, crowd, dice) if number % 4 == 0 else _own(asker, dice)


def _own(asker: Asker, dice: random.Random) -> Asked:
    session, job = dice.choice(asker.own["sessions"]), dice.choice(asker.own["jobs"])
    marker = next(iter(asker.markers)) if len(asker.markers) == 1 else asker.tenant.holder.marker
    ways = [
        *(
            Asked(asker, path, says="theirs")
            for path in ("/api/sessions", "/api/jobs?state=succeeded", "/api/auth/keys")
        ),
        *(Asked(asker, f"/api/sessions/{session}{rest}", says="theirs") for rest in ("", "/messages", "/export")),
        Asked(asker, f"/api/sessions/{session}/export?format=markdown", says="theirs"),
        *(Asked(asker, f"/api/jobs/{job}{rest}", says="theirs") for rest in ("", "/events")),
        Asked(asker, f"/api/jobs?session_id={session}"),
        Asked(asker, "/v1/models"),
        Asked(asker, "/api/tenant", says="the tenant's"),
        Asked(asker, "/api/sessions", 201, says="theirs", title=f"{marker} again"),
    ]
    if asker.role == "owner":
        ways += [Asked(asker, path, says="theirs") for path in ("/api/users", "/api/usage?by=model")]
        ways += [Asked(asker, path) for path in ("/api/audit", "/api/api-keys", "/api/tenant/metrics")]
    return dice.choice(ways)


def _foreign(asker: Asker, crowd: list[Tenant], dice: random.Random) -> Asked:
    others = [tenant.everything for tenant in crowd if tenant is not asker.tenant]
    if asker.role == "member":  # so is what the others of their own tenant have
        others += [other.own for other in asker.tenant.askers[1:] if other is not asker]
    theirs = dice.choice(others)
    session, job = dice.choice(theirs["sessions"]), dice.choice(theirs["jobs"])
    paths = [f"/api/sessions/{session}{rest}" for rest in ("", "/messages", "/export", "/export?format=markdown")]
    return Asked(asker, dice.choice([*paths, f"/api/jobs/{job}", f"/api/jobs/{job}/events"]), 404)
