"""`POST /api/chat`: a message in; the answer out as events, as one body, or later as a job (A1)."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from api.describing import EVENTS, described
from api.errors import problems
from api.granted import resolve_target
from api.headers import read_idempotency
from api.manners import ACCEPTED, ANSWERED, JOB_FAILURES, MANNERS, answer_in_manner
from api.principals import MayChat, Principal
from api.requests import JsonRequest
from api.resources import Opened, Resources
from api.streams import EVENT_STREAM
from api.submitting import submitter
from graphs.providers.tokens import estimate_tokens
from schema.errors import Forbidden, InputError, NotFound
from schema.ids import new_id
from schema.kinds import KINDS
from schema.queries.search import list_searchable
from schema.states import OnBusy, Priority
from workers.retrieval.scoping import choose
from workers.submit import Submission

TITLE_LENGTH = 80


class TextPartIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Words."""

    text: Annotated[str, Meta(max_length=200_000)]


class ImagePartUrlIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A picture: a `data:` URL, or an address that the model's provider can fetch."""

    url: Annotated[str, Meta(min_length=1)]
    detail: Literal["auto", "low", "high"] | None = None


class ImagePartIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImagePartUrlIn


class ChatIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A message to answer. Without `session_id` it begins a new session."""

    message: (
        Annotated[str, Meta(min_length=1, max_length=200_000, examples=["What is a headrace?"])]
        | Annotated[list[TextPartIn | ImagePartIn], Meta(min_length=1, max_length=100)]
    )
    session_id: UUID | None = None
    agent: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    model: Annotated[str, Meta(min_length=1, max_length=200, examples=["ollama/llama3.2:3b"])] | None = None
    collections: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=100)]],
            Meta(
                min_length=1, max_length=20, description="Answer from these collections of documents, with citations."
            ),
        ]
        | None
    ) = None
    on_busy: OnBusy = "queue"
    priority: Priority = "normal"


OPT = described(example={"message": "What is a headrace?"}, also={EVENT_STREAM: EVENTS})
RESPONSES = {200: ANSWERED, 202: ACCEPTED, **problems(*JOB_FAILURES)}


@post(
    "/chat",
    status_code=200,
    opt=OPT,
    responses=RESPONSES,
    summary="Send a message",
    description=MANNERS,
    tags=["chat"],
)
async def chat(data: JSONBody[ChatIn], request: JsonRequest, principal: MayChat, resources: Opened) -> Response[Any]:
    submission = await _submission(data, request, principal, resources)
    said = estimate_tokens(sum(len(part.get("text", "")) for part in submission.parts or []))
    return await answer_in_manner(resources, principal, request, submission, input_tokens=said)


@post(
    "/{tenant:str}/chat",
    status_code=200,
    opt=OPT,
    responses=RESPONSES,
    summary="Send a message, naming the tenant",
    tags=["chat"],
)
async def chat_of_tenant(
    tenant: FromPath[str], data: JSONBody[ChatIn], request: JsonRequest, principal: MayChat, resources: Opened
) -> Response[Any]:
    """The same as `POST /api/chat`; `tenant` is the slug or id of the caller's own tenant."""
    if tenant not in (principal.tenant.slug, str(principal.tenant_id)):
        raise NotFound("There is no such tenant for this key or token.")
    return await chat.fn(data, request, principal, resources)


async def _submission(data: ChatIn, request: JsonRequest, principal: Principal, resources: Resources) -> Submission:
    target = await resolve_target(resources, principal, data.model, data.agent)
    parts, job_id = _parts(data.message), new_id()
    payload: dict[str, Any] = {"options": {}, **({"asked_model": True} if target.asked_model else {})}
    if data.collections:
        payload["collections"] = await _collections(resources, principal, data.collections)
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload=payload,
        model=target.model,
        agent=target.agent,
        parts=parts,
        session_id=data.session_id,
        new_session=data.session_id is None,
        title=_title(parts),
        on_busy=data.on_busy,
        priority=data.priority,
        idempotency=read_idempotency(request.headers, "POST /api/chat", data, sees=principal.sees),
        request_id=request.request_id,
        by=await submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )


async def _collections(resources: Resources, principal: Principal, names: list[str]) -> list[str]:
    """Return the ids of collections. Raises Forbidden for whoever may not read documents, NotFound for one that isn't there."""
    if "documents.read" not in principal.rights:
        raise Forbidden("This needs the right 'documents.read', which your key does not have; leave collections out.")
    async with principal.tx(resources.ports.pool) as db:
        rows = await list_searchable(db, principal.tenant_id)
    return [str(row["id"]) for row in choose(rows, names)]


def _parts(message: str | list[TextPartIn | ImagePartIn]) -> list[dict[str, Any]]:
    """Return the message as it is stored. Raises InputError where nothing is said."""
    parts = [{"type": "text", "text": message}] if isinstance(message, str) else msgspec.to_builtins(message)
    if not any(part["type"] != "text" or part["text"].strip() for part in parts):
        raise InputError("message must not be empty.", field="message")
    return parts


def _title(parts: list[dict[str, Any]]) -> str:
    text = " ".join(next((part["text"] for part in parts if part["type"] == "text"), "").split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1] + "…"


routes = Router("/", route_handlers=[chat, chat_of_tenant])
