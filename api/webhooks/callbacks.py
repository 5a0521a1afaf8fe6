"""`callback_url`, `callback_events` and `callback_include` of requests that submit a job, or headers in their place."""

from typing import Annotated, Any

from litestar.datastructures import Headers
from msgspec import Meta

from api.auth.principals import Principal
from api.resources import Resources
from api.webhooks.targets import check_events, check_url
from schema.errors import InputError
from schema.queries.jobs.submissions import Callback
from schema.webhooks import Include

URL_HEADER, EVENTS_HEADER = "X-Headrace-Callback-URL", "X-Headrace-Callback-Events"
CALLBACK_HEADERS = (URL_HEADER, EVENTS_HEADER)
MAX_URL = 2048

CallbackUrl = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_URL,
        examples=["https://erp.example.com/hooks/headrace"],
        description="Address to tell when the job ends: a POST signed as Standard Webhooks says, with the secret of `POST "
        "/api/webhooks/secret/rotate`, and tried again for three days.",
    ),
]
CallbackEvents = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=40)]],
    Meta(
        min_length=1,
        max_length=10,
        description="Of which ends: `job.succeeded`, `job.failed`, `job.cancelled`; all of them by default.",
    ),
]
CallbackInclude = Annotated[
    list[Include], Meta(max_length=1, description="`result`: the message has the job's result, up to 256 KB of it.")
]


async def read_callback(
    resources: Resources,
    principal: Principal,
    headers: Headers,
    url: str | None = None,
    events: list[str] | None = None,
    include: list[Include] | None = None,
) -> Callback | None:
    """Return who wants to be told of the job's end: as the body says, or else the headers. Raises InputError."""
    field = "callback_url"
    if url is None and (url := headers.get(URL_HEADER)) is not None:
        field = URL_HEADER
    events_field = "callback_events"
    if events is None and (text := headers.get(EVENTS_HEADER)) is not None:
        events, events_field = [event.strip() for event in text.split(",")], EVENTS_HEADER
    if url is None:
        if events is not None or include:
            name = events_field if events is not None else "callback_include"
            raise InputError(f"{name} needs callback_url: where to send it.", field=name)
        return None
    if not 1 <= len(url) <= MAX_URL:
        raise InputError(f"{field} must be a URL of 1 to {MAX_URL} characters.", field=field)
    chosen = events or ["job.*"]
    check_events(chosen, events_field, only_jobs=True)
    await check_url(resources, principal, url, field)
    return Callback(url, tuple(dict.fromkeys(chosen)), tuple(dict.fromkeys(include or ())))


async def callback_of_body(resources: Resources, principal: Principal, headers: Headers, data: Any) -> Callback | None:
    """The same, of a body that has the three fields."""
    return await read_callback(
        resources, principal, headers, data.callback_url, data.callback_events, data.callback_include
    )
