"""`POST /api/chat`: takes a message; returns the answer as a stream, as one body, or as a job to poll."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from api.auth.principals import MayChat, Principal
from api.chat.response_modes import (
    ACCEPTED_RESPONSE,
    ANSWER_EXAMPLE,
    ANSWER_RESPONSE,
    JOB_ERRORS,
    ON_BUSY,
    PRIORITY,
    RESPONSE_MODES,
    RUN_AT,
    check_run_at,
    respond,
)
from api.grants.model_access import resolve_target
from api.http.body_limits import LARGE_BODY
from api.http.errors import problems
from api.http.headers import read_idempotency
from api.http.json_body import JsonRequest
from api.http.sse import EVENT_STREAM
from api.jobs.submit import submitter
from api.openapi.headers import JOB_REQUEST_HEADERS, JOB_RESPONSE_HEADERS
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CallbackEvents, CallbackInclude, CallbackUrl, callback_of_body
from graphs.providers.tokens import estimate_tokens
from schema.errors import Forbidden, InputError, NotFound
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.queries.documents.search import list_searchable
from schema.queries.jobs.submissions import Submission
from schema.states import OnBusy, Priority
from workers.retrieval.scope import select_collections

TITLE_LENGTH = 80
MAX_IMAGE_URL = 30_000_000  # an image of 20 MB, the most that providers take, as a `data:` URL


class TextPartIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """Text content."""

    text: Annotated[str, Meta(max_length=200_000, description="The text.")]


class ImagePartUrlIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An image by URL."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_IMAGE_URL,
            description="A `data:` URL, or a URL that the model provider can fetch.",
        ),
    ]
    detail: Annotated[
        Literal["auto", "low", "high"] | None,
        Meta(description="Resolution at which the model sees the image; the provider decides by default."),
    ] = None


class ImagePartIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image_url"):
    """Image content."""

    image_url: Annotated[ImagePartUrlIn, Meta(description="The image.")]


class ChatIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A message to answer, with the session, agent and model that it is for."""

    message: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200_000, examples=["What is a headrace?"])]
        | Annotated[list[TextPartIn | ImagePartIn], Meta(min_length=1, max_length=100)],
        Meta(description="The message: a string, or a list of text and image parts."),
    ]
    session_id: Annotated[
        UUID | None, Meta(description="The session to continue. A new session is created if omitted.")
    ] = None
    agent: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                description="Name of the agent to ask. `auto` selects one by the message; so does omitting agent and model.",
            ),
        ]
        | None
    ) = None
    model: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                examples=["ollama/llama3.2:3b"],
                description="`provider/name`, a bare name of the default provider, `agent/NAME`, or `auto` (the default).",
            ),
        ]
        | None
    ) = None
    collections: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=100)]],
            Meta(
                min_length=1,
                max_length=20,
                description="Names or ids of document collections to answer from, with citations.",
            ),
        ]
        | None
    ) = None
    on_busy: Annotated[OnBusy, Meta(description=ON_BUSY)] = "queue"
    priority: Annotated[Priority, Meta(description=PRIORITY)] = "normal"
    callback_url: CallbackUrl | None = None
    callback_events: CallbackEvents | None = None
    callback_include: CallbackInclude | None = None
    run_at: Annotated[datetime | None, Meta(description=RUN_AT)] = None


OPT = LARGE_BODY | described(
    example={"message": "What is a headrace?", "agent": "auto"},
    response=ANSWER_EXAMPLE,
    other_media_types={EVENT_STREAM: EVENTS},
    request_headers=JOB_REQUEST_HEADERS,
    response_headers=JOB_RESPONSE_HEADERS,
)
RESPONSES = {200: ANSWER_RESPONSE, 202: ACCEPTED_RESPONSE, **problems(*JOB_ERRORS)}


@post(
    "/chat",
    status_code=200,
    opt=OPT,
    responses=RESPONSES,
    summary="Send a message",
    description=RESPONSE_MODES,
    tags=["chat"],
)
async def send_message(
    data: JSONBody[ChatIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> Response[Any]:
    submission = await _build_submission(data, request, principal, resources)
    input_tokens = estimate_tokens(sum(len(part.get("text", "")) for part in submission.parts or []))
    return await respond(resources, principal, request, submission, input_tokens=input_tokens)


@post(
    "/{tenant:str}/chat",
    status_code=200,
    opt=OPT,
    responses=RESPONSES,
    summary="Send a message to a tenant",
    tags=["chat"],
)
async def send_tenant_message(
    tenant: Annotated[str, PathParameter(description="Slug or id of the caller's own tenant.")],
    data: JSONBody[ChatIn],
    request: JsonRequest,
    principal: MayChat,
    resources: AppResources,
) -> Response[Any]:
    """The same as `POST /api/chat`, with the caller's own tenant named in the path."""
    if tenant not in (principal.tenant.slug, str(principal.tenant_id)):
        raise NotFound("No such tenant for this key or token.")
    return await send_message.fn(data, request, principal, resources)


async def _build_submission(
    data: ChatIn, request: JsonRequest, principal: Principal, resources: Resources
) -> Submission:
    idempotency = read_idempotency(request.headers, "POST /api/chat", data, visible_user_id=principal.visible_user_id)
    submission = await build_chat(data, principal, resources)
    callback = await callback_of_body(resources, principal, request.headers, data)
    return msgspec.structs.replace(
        submission, idempotency=idempotency, request_id=request.request_id, callback=callback
    )


async def build_chat(data: ChatIn, principal: Principal, resources: Resources) -> Submission:
    """Return the job of a chat. Raises UnknownModel, UnknownAgent, Forbidden, NotFound and InputError, which name the field."""
    target = await resolve_target(resources, principal, data.model, data.agent)
    parts, job_id = _message_parts(data.message), new_id()
    payload: dict[str, Any] = {"options": {}, **({"asked_model": True} if target.model_requested else {})}
    if data.collections:
        payload["collections"] = await _collection_ids(resources, principal, data.collections)
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
        run_at=check_run_at(data.run_at, data.session_id),
        submitted_by=submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )


async def _collection_ids(resources: Resources, principal: Principal, names: list[str]) -> list[str]:
    """Return the ids of collections. Raises Forbidden without the right to read documents, NotFound for an unknown one."""
    if "documents.read" not in principal.rights:
        raise Forbidden(
            "collections requires the right 'documents.read', which your key does not have. Omit collections."
        )
    async with principal.tx(resources.core.pool) as db:
        rows = await list_searchable(db, principal.tenant_id)
    return [str(row.id) for row in select_collections(rows, names)]


def _message_parts(message: str | list[TextPartIn | ImagePartIn]) -> list[dict[str, Any]]:
    """Return the message as it is stored. Raises InputError for an empty one."""
    parts = [{"type": "text", "text": message}] if isinstance(message, str) else msgspec.to_builtins(message)
    if not any(part["type"] != "text" or part["text"].strip() for part in parts):
        raise InputError("message must not be empty.", field="message")
    return parts


def _title(parts: list[dict[str, Any]]) -> str:
    text = " ".join(next((part["text"] for part in parts if part["type"] == "text"), "").split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1] + "…"


routes = Router("/", route_handlers=[send_message, send_tenant_message])
