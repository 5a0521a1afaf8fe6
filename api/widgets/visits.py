"""Visitors of widgets: nobody knows who they are. A conversation belongs to whoever has the secret that came with its first
answer; and what all of them may do together, and each address, is limited.

The limits fail closed: without Redis strangers get nothing.
"""

import hmac
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from uuid import UUID

import structlog
from litestar.datastructures import Headers

from api.auth.bound_secrets import new_bound_secret, read_bound_secret
from api.auth.principals import presented_secret
from api.resources import Resources
from api.widgets.gate import Embedded
from schema import redis_names
from schema.errors import LimitReached, Unauthenticated, Unavailable
from schema.ids import new_id
from schema.postgres.batch import Statement
from schema.postgres.connections import tenant_tx
from schema.queries.identity.widgets import find_visit, visit_statement
from workers.limits import minutes
from workers.redis.client import RedisUnavailable
from workers.redis.connection import ReplyError

log = structlog.get_logger()

PREFIX = "hrv_"
MESSAGES_OF_ADDRESS, CALLS_OF_ADDRESS = 20, 120
"""Most messages, and most calls of any sort, of one address in a minute."""
UNKNOWN_VISIT = "This conversation is unknown here, or over. Begin a new one: send the message without its secret."
TOO_MANY = "Too many messages at the moment. Please try again in a minute."


@dataclass(frozen=True)
class Conversation:
    """A visitor's conversation. `job_id` is its last job, `live` whether that one has not ended."""

    session_id: UUID
    turns: int
    job_id: UUID | None
    live: bool


@dataclass(frozen=True)
class NewVisit:
    """A conversation that is to begin: `secret` is for the visitor, `statement` for the transaction that makes the session."""

    session_id: UUID
    secret: str = field(repr=False)
    statement: Statement = field(repr=False)


def begin_visit(embedded: Embedded) -> NewVisit:
    """Return a conversation with a secret of its own."""
    tenant_id, session_id = embedded.principal.tenant_id, new_id()
    secret = new_bound_secret(PREFIX, tenant_id, session_id)
    parts = read_bound_secret(PREFIX, secret)
    assert parts is not None
    return NewVisit(session_id, secret, visit_statement(tenant_id, session_id, embedded.widget.id, parts.digest))


async def find_conversation(resources: Resources, embedded: Embedded, headers: Headers) -> Conversation | None:
    """Return the conversation whose secret a request has; None if it has none. Raises Unauthenticated for one that is not of
    this widget, wrong, or over."""
    secret = presented_secret(headers)
    if secret is None:
        return None
    parts, tenant_id = read_bound_secret(PREFIX, secret), embedded.principal.tenant_id
    if parts is None or parts.tenant_id != tenant_id:
        raise Unauthenticated(UNKNOWN_VISIT)
    async with tenant_tx(resources.core.pool, tenant_id) as db:
        visit = await find_visit(db, tenant_id, parts.row_id)
    if visit is None or visit.widget_id != embedded.widget.id or not hmac.compare_digest(visit.digest, parts.digest):
        raise Unauthenticated(UNKNOWN_VISIT)
    return Conversation(parts.row_id, visit.turns, visit.job_id, visit.live)


async def require_conversation(resources: Resources, embedded: Embedded, headers: Headers) -> Conversation:
    """Return the conversation whose secret a request has. Raises Unauthenticated."""
    found = await find_conversation(resources, embedded, headers)
    if found is None:
        raise Unauthenticated(UNKNOWN_VISIT)
    return found


async def count_call(resources: Resources, embedded: Embedded, *, message: bool = False) -> None:
    """Count a call of an address, and a `message` for all visitors. Raises LimitReached, and Unavailable without Redis."""
    (minute, left_s), address = minutes.this_minute(), network_of(embedded.principal.address)
    counts = {f"calls:{minute}:{address}": CALLS_OF_ADDRESS}
    if message:
        counts |= {
            f"messages:{minute}:{address}": MESSAGES_OF_ADDRESS,
            f"messages:{minute}": embedded.widget.messages_per_minute,
        }
    for which, most in counts.items():
        if await _count(resources, embedded, which) > most:
            log.info("widget_limited", widget_id=str(embedded.widget.id), which=which.partition(":")[0])
            raise LimitReached(TOO_MANY, code="rate_limit_exceeded", retry_after_s=left_s)


async def _count(resources: Resources, embedded: Embedded, which: str) -> int:
    key = redis_names.widget_calls(embedded.principal.tenant_id, embedded.widget.id, which)
    try:
        return await minutes.count(resources.core.redis, key)
    except (RedisUnavailable, ReplyError) as error:
        raise Unavailable("The assistant is not available now. Please try again shortly.", effect="nothing") from error


def network_of(address: str | None) -> str:
    """Return whom an address stands for: an IPv6 network of a household, which has 2^64 of them, counts as one."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network(f"{parsed}/64", strict=False))
    return str(parsed)
