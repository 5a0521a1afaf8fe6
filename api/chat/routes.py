"""`POST /api/chat`: takes a message; returns the answer as a stream, as one body, or as a job to poll."""

from typing import Annotated, Any

import msgspec
from litestar import Response, Router, post
from litestar.params import JSONBody, PathParameter

from api.auth.principals import MayChat, Principal
from api.chat.attachments import read_attachments
from api.chat.model_options import check_response_format, check_tools, in_order
from api.chat.response_modes import (
    ACCEPTED_RESPONSE,
    ANSWER_EXAMPLE,
    ANSWER_RESPONSE,
    JOB_ERRORS,
    RESPONSE_MODES,
    respond,
)
from api.chat.schemas import ChatIn, ImagePartIn, TextPartIn, ToolResultIn
from api.grants.model_access import resolve_target, turns_agents_off
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import UNREADABLE, problems
from api.http.headers import read_idempotency
from api.http.sse import EVENT_STREAM
from api.jobs.run_at import check_run_at, with_run_at
from api.jobs.submit import submitter
from api.openapi.headers import JOB_REQUEST_HEADERS, JOB_RESPONSE_HEADERS
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import callback_of_body
from graphs.providers.settings import AUTO
from graphs.providers.tokens import estimate_tokens
from schema.errors import Forbidden, InputError, NotFound
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.queries.documents.search import list_searchable
from schema.queries.jobs.submissions import Submission
from schema.queries.sessions.sessions import list_open_calls
from workers.retrieval.scope import select_collections

TITLE_LENGTH = 80
MODEL_OPTIONS = ("temperature", "max_tokens", "response_format", "tools", "tool_choice")
"""Fields of a chat that are passed on to the model."""

OPT = LARGE_BODY | described(
    example={"message": "What is a headrace?", "agent": "auto"},
    response=ANSWER_EXAMPLE,
    other_media_types={EVENT_STREAM: EVENTS},
    request_headers=JOB_REQUEST_HEADERS,
    response_headers=JOB_RESPONSE_HEADERS,
)
RESPONSES = {200: ANSWER_RESPONSE, 202: ACCEPTED_RESPONSE, **problems(*JOB_ERRORS, "too_large", *UNREADABLE)}


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
    submission = await _build_submission(with_run_at(data, request.headers), request, principal, resources)
    input_tokens = estimate_tokens(sum(len(part.get("text", "")) for part in submission.parts or []))
    return await respond(
        resources, principal, request, submission, input_tokens=input_tokens, max_tokens=data.max_tokens
    )


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
    check_tools(data.tools, data.tool_choice)
    check_response_format(data.response_format)
    parts, job_id = await _said(data, principal, resources), new_id()
    target = await resolve_target(resources, principal, data.model, data.agent)
    options = {name: value for name in MODEL_OPTIONS if (value := getattr(data, name)) is not None}
    payload: dict[str, Any] = {
        "options": in_order(options),
        **({"asked_model": True} if target.model_requested else {}),
        **({"agents_off": True} if data.agent is None and turns_agents_off(principal, target) else {}),
    }
    payload |= {name: value for name in ("system", "output_format") if (value := getattr(data, name)) is not None}
    agent = target.agent
    if data.collections:
        payload["collections"] = await find_collection_ids(resources, principal, data.collections)
        agent = None if data.agent is None and agent == AUTO else agent  # where the answer is to come from is said
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload=payload,
        model=target.model,
        agent=agent,
        parts=parts,
        role="user" if data.tool_results is None else "tool",
        session_id=data.session_id,
        new_session=data.session_id is None,
        title=_title(parts),
        on_busy=data.on_busy,
        priority=data.priority,
        run_at=check_run_at(data.run_at, data.session_id),
        metadata=data.metadata,
        submitted_by=submitter(resources, principal, job_id, for_tools=agent is not None),
    )


async def find_collection_ids(resources: Resources, principal: Principal, names: list[str]) -> list[str]:
    """Return the ids of collections. Raises Forbidden without the right to read documents, NotFound for an unknown one."""
    if "documents.read" not in principal.rights:
        raise Forbidden(
            "collections requires the right 'documents.read', which your key does not have. Omit collections."
        )
    async with principal.tx(resources.core.pool) as db:
        rows = await list_searchable(db, principal.tenant_id)
    return [str(row.id) for row in select_collections(rows, names)]


async def _said(data: ChatIn, principal: Principal, resources: Resources) -> list[dict[str, Any]]:
    """Return the message, or results in its place, as it is stored. Raises InputError for neither, both, and results of calls
    that nobody made."""
    results: list[ToolResultIn] = data.tool_results or []
    if data.message is not None and results:
        raise InputError("Send a message or tool_results, not both.", field="message")
    if data.message is not None:
        attached = await read_attachments(resources, principal, data.attachments or [])
        return [*_message_parts(data.message), *attached]
    if data.attachments:
        raise InputError("attachments belong to a message. Send a message with them.", field="attachments")
    if not results:
        raise InputError("message is required.", field="message")
    if data.session_id is None:
        raise InputError(
            "tool_results belong to the session whose answer has the calls. Set session_id.", field="session_id"
        )
    async with principal.tx(resources.core.pool) as db:
        open_calls = await list_open_calls(db, principal.tenant_id, data.session_id)
    if sorted(result.tool_call_id for result in results) != sorted(open_calls):
        waiting = ", ".join(call_id[:80] for call_id in open_calls) or "none"
        raise InputError(
            f"tool_results must have one result for each call that waits in the session ({waiting}), and no other.",
            field="tool_results",
        )
    return [{"type": "tool_result", "tool_call_id": one.tool_call_id, "text": one.text} for one in results]


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
