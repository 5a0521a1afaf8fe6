"""`POST /v1/responses`, and an estimate of its input's tokens.

A streamed response is told at once, so that clients have its id; providers' failures are then part of it. A client that closes
the connection cancels the job, unless it runs in the background.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from msgspec import Meta

from api.auth.principals import MayChat, Principal
from api.chat.file_parts import said_chars, with_files
from api.chat.model_options import in_order
from api.chat.response_modes import JOB_ERRORS
from api.chat.routes import find_collection_ids
from api.grants.model_access import Target, ignored_by_model, resolve_target
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import LARGE_BODY
from api.http.cost_header import COST_HEADER, cost_header
from api.http.errors import JobEnded, problems
from api.http.headers import ignored_header, read_idempotency
from api.http.sse import EVENT_STREAM, EventStream
from api.jobs.run_at import HEADER as RUN_AT_HEADER
from api.jobs.run_at import read_run_at
from api.jobs.submit import submit_and_follow, submitter
from api.jobs.waiting_client import WaitingClient
from api.openai.conversations.settling import open_conversation
from api.openai.front_end_prompts import without_agent_for_front_ends
from api.openai.responses.frames import collect_frames, fold_frames
from api.openai.responses.history import read_history
from api.openai.responses.lookup import fold_now, response_path
from api.openai.responses.objects import RESPONSE_EXAMPLE, ResponseOut
from api.openai.responses.options import ignored_fields, response_options
from api.openai.responses.response_stream import ResponseStream
from api.openai.responses.schemas import ResponseIn
from api.openai.responses.stored_request import StoredRequest, stored_request, write_request
from api.openai.responses.tools import read_tools
from api.openapi.headers import JOB_RESPONSE_HEADERS
from api.openapi.operations import RESPONSE_EVENTS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS, read_callback
from graphs.messages import stored_in_order
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError, NotFound
from schema.events import read_frames
from schema.ids import new_id
from schema.job_kinds import INTERACTIVE, KINDS
from schema.queries.jobs.jobs import find_job_status
from schema.queries.jobs.submissions import Submission
from workers.agents.reasoning_seal import SEALS

ROUTE = "POST /v1/responses"


@dataclass(frozen=True)
class Call:
    """A request for a response, and its job."""

    stored: StoredRequest
    client: WaitingClient
    principal: Principal
    ignored: list[str]

    @property
    def headers(self) -> dict[str, str]:
        return self.client.headers | ignored_header(self.ignored)


@post(
    "/responses",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example={"model": "auto", "input": "What is a headrace?"},
        response=RESPONSE_EXAMPLE,
        other_media_types={EVENT_STREAM: RESPONSE_EVENTS},
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS, RUN_AT_HEADER),
        response_headers={**JOB_RESPONSE_HEADERS, 200: (*JOB_RESPONSE_HEADERS[200], "X-Headrace-Ignored", COST_HEADER)},
    ),
    responses={
        200: ResponseSpec(
            ResponseOut, description="The response, or its events with `stream`.", generate_examples=False
        ),
        **problems(*JOB_ERRORS, "not_found", "session_busy"),
    },
    summary="Create a response",
    tags=["openai"],
)
async def create_response(
    data: JSONBody[ResponseIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> Response[Any]:
    """Compatible with OpenAI's API. Closing the connection cancels the response, unless it runs in the `background`. Fields
    and tools that change nothing are named in `X-Headrace-Ignored`."""
    call = await _submit(data, request, principal, resources)
    return await call.client.serve(_respond(call))


async def _submit(data: ResponseIn, request: JsonRequest, principal: Principal, resources: Resources) -> Call:
    _reject_unsupported(data)
    run_at = _read_run_at(data, request)
    tools = read_tools(data.tools or [])
    options, stored = response_options(data, tools), stored_request(data, tools)
    target = await resolve_target(resources, principal, data.model, None)
    opened = await open_conversation(resources, principal, data, await request.body())
    messages = await read_history(resources, principal, data, target.model, opened)
    target = await without_agent_for_front_ends(resources, principal, target, messages, options)
    messages = await with_files(resources, principal, messages, field="input")
    payload: dict[str, Any] = {
        **stored_in_order(messages),
        "options": in_order(options),
        "response": write_request(stored),
        **({"asked_model": True} if target.model_requested else {}),
        **({"truncation": "auto"} if data.truncation == "auto" else {}),
        **({} if data.background else {INTERACTIVE: True}),
        **({} if stored.store else {"hidden": True}),
        **({SEALS: True} if stored.seals_reasoning else {}),
    }
    if tools.collections:
        payload["collections"] = await find_collection_ids(resources, principal, tools.collections)
    submission = await _submission(data, request, principal, resources, target, payload, run_at)
    if opened is not None:
        pending = opened.pending(principal.tenant_id, submission.job_id)
        submission = msgspec.structs.replace(submission, extra_statements=(pending,))
    accepted = await submit_and_follow(
        resources,
        principal,
        submission,
        input_tokens=estimate_tokens(said_chars(messages)),
        max_tokens=data.max_output_tokens,
    )
    by_model = await ignored_by_model(resources, principal, target.model, options, messages, "input")
    ignored = ignored_fields(await request.body(), data, tools, by_model)
    place = response_path(accepted.submitted.job_id) if stored.store else None
    client = WaitingClient(request, resources, principal.tenant_id, accepted, background=stored.background, place=place)
    return Call(stored, client, principal, ignored)


async def _submission(
    data: ResponseIn,
    request: JsonRequest,
    principal: Principal,
    resources: Resources,
    target: Target,
    payload: dict[str, Any],
    run_at: datetime | None,
) -> Submission:
    job_id, asked = new_id(), [data, run_at] if run_at else data
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload=payload,
        model=target.model,
        agent=target.agent,
        idempotency=read_idempotency(request.headers, ROUTE, asked, visible_user_id=principal.visible_user_id),
        request_id=request.request_id,
        run_at=run_at,
        metadata=data.metadata,
        callback=await read_callback(resources, principal, request.headers),
        submitted_by=submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )


def _reject_unsupported(data: ResponseIn) -> None:
    if data.prompt is not None:
        raise InputError("prompt is not supported: no templates are stored here. Send instructions.", field="prompt")
    if data.background and data.store is False:
        message = "A response in the background must be stored, since nobody waits for it. Omit store."
        raise InputError(message, field="store")


def _read_run_at(data: ResponseIn, request: JsonRequest) -> datetime | None:
    """Return when the job is to run. Raises InputError if somebody would wait for it on an open connection."""
    run_at = read_run_at(request.headers)
    if run_at is not None and (data.stream or not data.background):
        message = f"With {RUN_AT_HEADER} a response is created in the background: send background true, and no stream."
        raise InputError(message, field="stream" if data.stream else "background")
    return run_at


async def _respond(call: Call) -> Response[Any]:
    if call.stored.stream:
        return _stream(call)
    if call.stored.background:
        call.client.accepted.follower.close()
        return Response(await _now(call), status_code=200, headers=call.headers)
    whole = await _wait(call)
    cost = cost_header(whole.usage.cost_usd if whole.usage else msgspec.UNSET)
    return Response(whole, status_code=200, headers=call.headers | cost)


async def _now(call: Call) -> ResponseOut:
    """Return the response as it is: queued, unless its key was used before."""
    submitted, principal = call.client.accepted.submitted, call.principal
    job_id = submitted.job_id
    if not submitted.replayed:
        return fold_frames(job_id, call.stored, read_frames(submitted.queued))[0].response()
    async with principal.tx(call.client.resources.core.pool) as db:
        job = await find_job_status(db, principal.tenant_id, job_id)
    if job is None:
        raise NotFound("The response was deleted.")
    return (await fold_now(call.client.resources, principal, job, call.stored)).response()


async def _wait(call: Call) -> ResponseOut:
    """Return the complete response. Raises JobEnded if it failed or took too long."""
    accepted = call.client.accepted
    advice = "Use background or stream for long ones."
    frames = await call.client.wait_for(collect_frames(accepted.follower), advice, what="response")
    job_id = accepted.submitted.job_id
    fold, _ = fold_frames(job_id, call.stored, frames)
    if fold.failure is not None:
        raise JobEnded.by(fold.failure.error, str(job_id))
    return fold.response()


def _stream(call: Call) -> EventStream:
    stream = ResponseStream(call.client.accepted.follower, call.stored)
    return EventStream(call.client.send(stream), shutdown=None, headers=call.headers)


class InputTokensOut(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens the input of a response has."""

    object: Annotated[Literal["response.input_tokens"], Meta(description="Always `response.input_tokens`.")] = (
        "response.input_tokens"
    )
    input_tokens: Annotated[int, Meta(description="Tokens of the input, estimated.")]


@post(
    "/responses/input_tokens",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example={"model": "auto", "input": "What is a headrace?"},
        response={"object": "response.input_tokens", "input_tokens": 12},
    ),
    responses=problems("model_unknown", "agent_unknown", "not_found"),
    summary="Count the tokens of a response's input",
    tags=["openai"],
)
async def count_input_tokens(
    data: JSONBody[ResponseIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> InputTokensOut:
    """Takes the request of a response, and estimates the tokens of its messages and tools. No model is called."""
    _reject_unsupported(data)
    options = response_options(data, read_tools(data.tools or []))
    target = await resolve_target(resources, principal, data.model, None)
    opened = await open_conversation(resources, principal, data, await request.body())
    messages = await read_history(resources, principal, data, target.model, opened)
    told = [messages, options.get("tools"), options.get("response_format")]
    return InputTokensOut(input_tokens=sum(estimate_tokens(len(msgspec.json.encode(one))) for one in told if one))


routes = Router("/", route_handlers=[create_response, count_input_tokens])
