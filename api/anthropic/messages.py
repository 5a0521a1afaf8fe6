"""`POST /v1/messages`. A client that closes the connection cancels the job, as with Anthropic."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from api.anthropic.conversation import ANTHROPIC, read_conversation
from api.anthropic.ignored import ignored_inside
from api.anthropic.message_stream import MessageStream
from api.anthropic.options import ignored, own_pairs, read_options
from api.anthropic.schemas import MESSAGE_EXAMPLE, AssistantMessageOut, CreateMessageIn
from api.anthropic.whole_message import collect_message
from api.auth.principals import MayChat, Principal
from api.chat.file_parts import said_chars, with_files
from api.chat.model_options import in_order
from api.chat.response_modes import JOB_ERRORS
from api.grants.model_access import Target, find_providers, resolve_target
from api.http.bodies.json_body import JsonRequest, field_names
from api.http.bodies.limits import LARGE_BODY
from api.http.cost_header import COST_HEADER, cost_header
from api.http.errors import problems
from api.http.headers import ignored_header, read_idempotency
from api.http.sse import EVENT_STREAM, EventStream
from api.jobs.run_at import refuse_run_at
from api.jobs.submit import submit_and_follow, submitter
from api.jobs.waiting_client import WaitingClient
from api.openapi.headers import JOB_RESPONSE_HEADERS
from api.openapi.operations import MESSAGE_EVENTS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS, read_callback
from graphs.messages import stored_in_order
from graphs.providers.tokens import estimate_tokens
from schema.errors import ThreadUnsupported
from schema.ids import new_id
from schema.job_kinds import INTERACTIVE, KINDS
from schema.queries.jobs.submissions import Submission

ROUTE = "POST /v1/messages"
BETA_HEADER = "anthropic-beta"
MAX_BETA_CHARS = 4000
EXAMPLE = {"model": "auto", "max_tokens": 1024, "messages": [{"role": "user", "content": "What is a headrace?"}]}


@dataclass(frozen=True)
class Call:
    """A request for a message, and its job. `native`: one of Anthropic's models answers."""

    client: WaitingClient
    model: str
    native: bool
    input_tokens: int
    ignored: list[str]

    @property
    def headers(self) -> dict[str, str]:
        return {"request-id": self.client.request.request_id, **self.client.headers, **ignored_header(self.ignored)}


@post(
    "/messages",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example=EXAMPLE,
        response=MESSAGE_EXAMPLE,
        other_media_types={EVENT_STREAM: MESSAGE_EVENTS},
        request_headers=("Idempotency-Key", "anthropic-version", "anthropic-beta", *CALLBACK_HEADERS),
        response_headers={
            **JOB_RESPONSE_HEADERS,
            200: (*JOB_RESPONSE_HEADERS[200], "X-Headrace-Ignored", COST_HEADER, "request-id"),
        },
    ),
    responses={
        200: ResponseSpec(
            AssistantMessageOut, description="The message, or the events of one with `stream`.", generate_examples=False
        ),
        **problems(*JOB_ERRORS, "thread_unsupported_request"),
    },
    summary="Create a message",
    tags=["anthropic"],
)
async def create_message(
    data: JSONBody[CreateMessageIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> Response[Any]:
    """Compatible with Anthropic's API, for any model or agent. Closing the connection cancels the job. Fields that change
    nothing are named in `X-Headrace-Ignored`."""
    refuse_run_at(request.headers, "is not for messages, which are answered at once.")
    call = await _submit(data, request, principal, resources)
    return await call.client.serve(_stream(call) if data.stream else _complete(call))


async def find_target(resources: Resources, principal: Principal, model: str) -> tuple[Target, bool]:
    """Return what answers, and whether that is one of Anthropic's models. A bare name of one is Anthropic's, where it is
    connected, whatever the default provider is."""
    if model.startswith("claude-") and ANTHROPIC in (await find_providers(resources, principal)).settings.names:
        model = f"{ANTHROPIC}/{model}"
    target = await resolve_target(resources, principal, model, None)
    return target, target.agent is None and target.model.startswith(f"{ANTHROPIC}/")


async def _submit(data: CreateMessageIn, request: JsonRequest, principal: Principal, resources: Resources) -> Call:
    if data.thread is not None:
        raise ThreadUnsupported(
            "thread: conversations are not kept here. Omit it, and send all messages.", field="thread"
        )
    target, native = await find_target(resources, principal, data.model)
    provider, _, model = target.model.partition("/")
    messages = await with_files(resources, principal, read_conversation(data, native=native))
    betas = request.headers.get(BETA_HEADER, "")[:MAX_BETA_CHARS]
    options = read_options(data, betas, native=native, provider=provider, model=model)
    job_id = new_id()
    submission = Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload={
            **stored_in_order(messages),
            "options": in_order(options),
            INTERACTIVE: True,
            **({"asked_model": True} if target.model_requested else {}),
        },
        model=target.model,
        agent=target.agent,
        idempotency=read_idempotency(request.headers, ROUTE, data, visible_user_id=principal.visible_user_id),
        request_id=request.request_id,
        metadata=own_pairs(data),
        callback=await read_callback(resources, principal, request.headers),
        submitted_by=submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )
    tokens = estimate_tokens(said_chars(messages) + len(msgspec.json.encode(options.get("tools"))))
    accepted = await submit_and_follow(
        resources, principal, submission, input_tokens=tokens, max_tokens=data.max_tokens
    )
    names = ignored(field_names(await request.body()), options, target.model, native=native)
    names += ignored_inside(await request.body(), native=native)
    client = WaitingClient(request, resources, principal.tenant_id, accepted)
    return Call(client, target.model, native, tokens, names)


async def _complete(call: Call) -> Response[Any]:
    whole = collect_message(call.client.accepted.follower, call.model, native=call.native)
    message = await call.client.wait_for(whole, "Use stream for long answers.")
    return Response(message, status_code=200, headers=call.headers | cost_header(message.usage.cost_usd))


async def _stream(call: Call) -> Response[Any]:
    stream = MessageStream(
        call.client.accepted.follower,
        call.model,
        native=call.native,
        input_tokens=call.input_tokens,
        request_id=call.client.request.request_id,
    )
    return EventStream(await call.client.hold(stream), shutdown=None, headers=call.headers)


routes = Router("/", route_handlers=[create_message])
