"""Checks what a caller sends about where to post: addresses, types of events, headers, secrets. Errors name the field, the
reason and what is right."""

import re
from collections.abc import Mapping, Sequence

from api.auth.principals import Principal
from api.resources import Resources
from schema.egress_uses import EgressUse
from schema.errors import EgressFailed, EgressRefused, InputError
from schema.job_kinds import KINDS
from schema.webhooks import JOB_EVENTS, TEST_EVENT, WEBHOOK_EVENTS, WILDCARDS, selects
from tools.egress import check_target
from workers.webhooks.signing import secret_bytes

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,4094}[\x21-\x7e])?")
OWN_HEADERS = re.compile(
    r"(host|content-.*|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|proxy-.*|accept-encoding|cookie"
    r"|user-agent|webhook-.*)",
    re.IGNORECASE,
)
MAX_HEADERS = 20


async def check_url(
    resources: Resources, principal: Principal, url: str, field: str, *, use: EgressUse = "webhooks"
) -> None:
    """Raise EgressRefused unless the tenant may have this URL called, as its name resolves now; InputError if it doesn't
    resolve."""
    policy = await resources.egress.policy(principal.tenant_id, use)
    try:
        await check_target(policy, url)
    except EgressRefused as refused:
        raise EgressRefused(f"{field}: {refused.message}", field=field) from None
    except EgressFailed as failure:
        raise InputError(f"{field}: {failure.message}", field=field) from None


def check_events(events: Sequence[str], field: str, *, only_jobs: bool = False) -> None:
    """Raise InputError for a type of event that there isn't."""
    known = (*JOB_EVENTS, "job.*", "*") if only_jobs else (*WEBHOOK_EVENTS, *WILDCARDS)
    for place, event in enumerate(events):
        if event not in known or not selects(event):
            name = f"{field}[{place}]"
            raise InputError(f"{name} is {event[:40]!r}; it must be one of {', '.join(known)}.", field=name)


def check_delivered_type(event: str, field: str) -> None:
    """Raise InputError for what no delivery has as its type; wildcards are for endpoints only."""
    known = (*WEBHOOK_EVENTS, TEST_EVENT)
    if event not in known:
        raise InputError(f"{field} is {event[:40]!r}; it must be one of {', '.join(known)}.", field=field)


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise InputError for a kind of job that there isn't."""
    for place, kind in enumerate(kinds):
        if kind not in KINDS:
            name = f"kinds[{place}]"
            raise InputError(f"{name} is {kind[:40]!r}; it must be one of {', '.join(KINDS)}.", field=name)


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise InputError for a header that can't be sent, or that is sent anyway. Quotes no value."""
    if len(headers) > MAX_HEADERS:
        raise InputError(f"headers must not have more than {MAX_HEADERS} headers.", field="headers")
    names = [name.lower() for name in headers]
    for name, value in headers.items():
        field = f"headers.{name}" if HEADER_NAME.fullmatch(name) else "headers"
        if not HEADER_NAME.fullmatch(name):
            raise InputError("headers contains an invalid name; it must be like X-Api-Key.", field=field)
        if OWN_HEADERS.fullmatch(name):
            raise InputError(f"{field} is set by headrace itself; remove it.", field=field)
        if names.count(name.lower()) > 1:
            raise InputError(f"{field} is duplicated; send it once.", field=field)
        if not HEADER_VALUE.fullmatch(value):
            raise InputError(f"{field} must be 1 to 4,096 visible ASCII characters.", field=field)


def check_secret(secret: str) -> None:
    """Raise InputError for a secret that is none of Standard Webhooks. Quotes nothing of it."""
    try:
        secret_bytes(secret)
    except ValueError as error:
        raise InputError(f"secret {error}.", field="secret") from None
