"""`POST /api/chat`: a message in; the answer out as events, as one body, or later as a job (A1)."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from api.answers import Answer, wait_for_answer
from api.describing import EVENTS, described
from api.errors import problems
from api.following import follow_stream
from api.granted import resolve_target
from api.headers import read_idempotency, read_preferences, wants_events
from api.principals import MayChat, Principal
from api.requests import JsonRequest
from api.resources import Opened, Resources
from api.streams import EVENT_STREAM
from api.submitting import submit_and_follow, submitter
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError, NotFound
from schema.ids import new_id
from schema.kinds import KINDS
from schema.states import OnBusy, Priority, PublicState
from workers.submit import Submission, Submitted

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
    on_busy: OnBusy = "queue"
    priority: Priority = "normal"


class UsageOut(msgspec.Struct, frozen=True):
    """Tokens; `estimated` where the provider did not count them."""

    input_tokens: int
    output_tokens: int
    estimated: bool


class AnswerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a chat. `agent` is who answered, None for the model alone; `data` is the answer as an object where its
    agent's output format has one, `renderer` a hint how to show it; `cached`: it was given before."""

    job_id: str
    session_id: UUID | None
    message_id: str | None
    text: str
    finish_reason: str
    model: str
    usage: UsageOut | None
    agent: str | None = None
    data: Any = None
    renderer: dict[str, Any] | None = None
    cached: bool = False


class AcceptedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is not done yet: look at `job_url` now and then, or follow `events_url`."""

    job_id: str
    session_id: UUID | None
    kind: str
    state: PublicState
    job_url: str
    events_url: str


ACCEPTED = ResponseSpec(
    AcceptedOut,
    description="The job is accepted and not done yet (`Prefer: respond-async`, or the time was up).",
    generate_examples=False,
    examples=[
        Example(
            value={
                "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
                "session_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1f",
                "kind": "chat",
                "state": "queued",
                "job_url": "/api/jobs/019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
                "events_url": "/api/jobs/019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e/events",
            }
        )
    ],
)
ANSWERED = ResponseSpec(AnswerOut, description="The answer, or the job's events.", generate_examples=False)
OPT = described(example={"message": "What is a headrace?"}, also={EVENT_STREAM: EVENTS})
RESPONSES = {200: ANSWERED, 202: ACCEPTED, **problems(400, 404, 409, 413, 415, 422, 429, 502, 503, 504)}
DESCRIPTION = """Three manners: `Accept: text/event-stream` streams the job's events on this connection; `Prefer:
respond-async` answers 202 with the job at once; otherwise the answer is waited for (45 s unless set otherwise, less with
`Prefer: wait=N`) and comes as 200, or the job as 202 when time is up. The job goes on if you leave. `Idempotency-Key`
makes a repeated request give the same job. A job that failed answers with its own code: 502 or 504 when the model's
provider is to blame, 409 when it was cancelled."""


@post(
    "/chat",
    status_code=200,
    opt=OPT,
    responses=RESPONSES,
    summary="Send a message",
    description=DESCRIPTION,
    tags=["chat"],
)
async def chat(data: JSONBody[ChatIn], request: JsonRequest, principal: MayChat, resources: Opened) -> Response[Any]:
    submission = await _submission(data, request, principal, resources)
    preferences = read_preferences(request.headers)
    said = estimate_tokens(sum(len(part.get("text", "")) for part in submission.parts or []))
    accepted = await submit_and_follow(resources, principal, submission, input_tokens=said, max_tokens=None)
    submitted, follower = accepted.submitted, accepted.follower
    headers = {"X-Job-ID": str(submitted.job_id), **accepted.headers}
    if wants_events(request.headers):
        return follow_stream(resources, follower, headers)
    if preferences.respond_async:
        follower.close()
        return _accepted(submitted, "queued", {**headers, "Preference-Applied": "respond-async"})
    limit_s = resources.settings.request_timeout_s
    answer = await wait_for_answer(follower, min(limit_s, preferences.wait_s or limit_s))
    return _answered(answer, submitted, submission.model, headers)


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
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload={"options": {}, **({"asked_model": True} if target.asked_model else {})},
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


def _parts(message: str | list[TextPartIn | ImagePartIn]) -> list[dict[str, Any]]:
    """Return the message as it is stored. Raises InputError where nothing is said."""
    parts = [{"type": "text", "text": message}] if isinstance(message, str) else msgspec.to_builtins(message)
    if not any(part["type"] != "text" or part["text"].strip() for part in parts):
        raise InputError("message must not be empty.", field="message")
    return parts


def _title(parts: list[dict[str, Any]]) -> str:
    text = " ".join(next((part["text"] for part in parts if part["type"] == "text"), "").split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1] + "…"


def _answered(answer: Answer, submitted: Submitted, model: str, headers: dict[str, str]) -> Response[Any]:
    if answer.state != "succeeded" or answer.message is None:
        return _accepted(submitted, answer.state, headers)
    usage = answer.usage
    body = AnswerOut(
        job_id=answer.job_id,
        session_id=submitted.session_id,
        message_id=answer.message.message_id,
        text=answer.message.text,
        finish_reason=answer.message.finish_reason,
        model=usage.model if usage else model,
        usage=UsageOut(usage.input_tokens, usage.output_tokens, usage.estimated) if usage else None,
        agent=answer.message.agent,
        data=answer.message.data,
        renderer=answer.message.renderer,
        cached=answer.message.cached,
    )
    return Response(body, status_code=200, headers=headers)


def _accepted(submitted: Submitted, state: PublicState, headers: dict[str, str]) -> Response[Any]:
    url = f"/api/jobs/{submitted.job_id}"
    body = AcceptedOut(
        job_id=str(submitted.job_id),
        session_id=submitted.session_id,
        kind="chat",
        state=state,
        job_url=url,
        events_url=f"{url}/events",
    )
    return Response(body, status_code=202, headers={**headers, "Location": url, "Retry-After": "1"})


routes = Router("/", route_handlers=[chat, chat_of_tenant])
