"""`POST /v1/chat/completions`. A client that closes the connection cancels the job, as with OpenAI."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, Router, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from api.auth.principals import MayChat, Principal
from api.chat.file_parts import said_chars, with_files
from api.chat.model_options import in_order
from api.chat.response_modes import ACCEPTED_RESPONSE, JOB_ERRORS, accepted_response
from api.grants.model_access import Target, ignored_by_model, resolve_target
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import LARGE_BODY
from api.http.cost_header import COST_HEADER
from api.http.errors import problems
from api.http.headers import ignored_header, read_idempotency
from api.http.sse import EVENT_STREAM, EventStream
from api.http.vendor_formats.openai_chunks import COMPLETION_EXAMPLE, Chunks, CompletionOut
from api.jobs.run_at import HEADER as RUN_AT_HEADER
from api.jobs.run_at import read_run_at
from api.jobs.submit import RESERVED_OUTPUT_TOKENS, submit_and_follow, submitter
from api.jobs.waiting_client import WaitingClient
from api.openai.extras import read_extras
from api.openai.front_end_prompts import without_agent_for_front_ends
from api.openai.ignored import ignored_in_files, ignored_stream_options
from api.openai.message_extras import read_messages
from api.openai.non_streaming import collect_completion
from api.openai.schemas import CompletionIn, model_options, reject_unsupported, wants_usage
from api.openai.stream import ChunkStream
from api.openapi.headers import JOB_RESPONSE_HEADERS
from api.openapi.operations import CHUNKS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import CALLBACK_HEADERS, read_callback
from graphs.messages import read_stored, stored_in_order
from graphs.providers.openai.vendors import VENDORS
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError
from schema.ids import new_id
from schema.job_kinds import INTERACTIVE, KINDS
from schema.queries.jobs.submissions import Submission


@post(
    "/chat/completions",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example={"model": "auto", "messages": [{"role": "user", "content": "What is a headrace?"}]},
        response=COMPLETION_EXAMPLE,
        other_media_types={EVENT_STREAM: CHUNKS},
        request_headers=("Idempotency-Key", *CALLBACK_HEADERS, RUN_AT_HEADER),
        response_headers={**JOB_RESPONSE_HEADERS, 200: (*JOB_RESPONSE_HEADERS[200], "X-Headrace-Ignored", COST_HEADER)},
    ),
    responses={
        200: ResponseSpec(
            CompletionOut, description="The completion, or chunks of it with `stream`.", generate_examples=False
        ),
        202: ACCEPTED_RESPONSE,
        **problems(*JOB_ERRORS),
    },
    summary="Create a chat completion",
    tags=["openai"],
)
async def create_chat_completion(
    data: JSONBody[CompletionIn], request: JsonRequest, principal: MayChat, resources: AppResources
) -> Response[Any]:
    """Compatible with OpenAI's API. Closing the connection cancels the job. Parameters beyond OpenAI's are passed on to the
    provider; those that it has no place for are named in `X-Headrace-Ignored`, those that can't be honoured are rejected.
    With `X-Headrace-Run-At` the answer is `202` and the job, which closing the connection doesn't cancel."""
    run_at = _read_run_at(request, data)
    extras = read_extras(await request.body(), CompletionIn)
    submission = await _build_submission(data, extras, request, principal, resources, run_at)
    messages = read_stored(submission.payload) or []
    input_tokens = estimate_tokens(said_chars(messages))
    max_tokens = (data.max_completion_tokens or data.max_tokens or RESERVED_OUTPUT_TOKENS) * (data.n or 1)
    accepted = await submit_and_follow(
        resources, principal, submission, input_tokens=input_tokens, max_tokens=max_tokens
    )
    client = WaitingClient(request, resources, principal.tenant_id, accepted)
    options = model_options(data, extras)
    ignored = await ignored_by_model(resources, principal, submission.model, options, messages)
    ignored += ignored_stream_options(await request.body(), data.stream_options)
    ignored += ignored_in_files(await request.body(), data.messages)
    headers = client.headers | ignored_header(ignored)
    if run_at is not None:
        accepted.follower.close()
        return accepted_response(accepted.submitted, submission, "queued", headers)
    respond = _stream if data.stream else _complete
    return await client.serve(respond(client, data, submission.model, headers))


async def _build_submission(
    data: CompletionIn,
    extras: dict[str, Any],
    request: JsonRequest,
    principal: Principal,
    resources: Resources,
    run_at: datetime | None,
) -> Submission:
    reject_unsupported(data)
    job_id = new_id()
    target = await resolve_target(resources, principal, data.model, None)
    if (data.n or 1) > 1:
        require_choices(target)
    messages, options = read_messages(await request.body(), data.messages), model_options(data, extras)
    target = await without_agent_for_front_ends(resources, principal, target, messages, options)
    messages = await with_files(resources, principal, messages)
    payload = {**stored_in_order(messages), "options": in_order(options)}
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["chat"],
        payload={
            **payload,
            **({"asked_model": True} if target.model_requested else {}),
            **({INTERACTIVE: True} if run_at is None else {}),
            **({"truncation": "auto"} if data.truncation == "auto" else {}),
        },
        model=target.model,
        agent=target.agent,
        idempotency=read_idempotency(
            request.headers,
            "POST /v1/chat/completions",
            [msgspec.structs.replace(data, messages=[]), messages, extras, *([run_at] if run_at else [])],
            visible_user_id=principal.visible_user_id,
        ),
        request_id=request.request_id,
        run_at=run_at,
        metadata=data.metadata,
        callback=await read_callback(resources, principal, request.headers),
        submitted_by=submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )


def require_choices(target: Target) -> None:
    """Raise InputError if more than one choice can't be had."""
    provider = target.model.partition("/")[0]
    vendor = VENDORS.get(provider)
    if target.agent is not None:
        why = "An agent gives one answer"
    elif vendor is None or not vendor.choices:
        why = f"{provider} gives one choice a request"
    else:
        return
    raise InputError(f"{why}, so n must be 1. Send the request again for another answer.", field="n")


def _read_run_at(request: JsonRequest, data: CompletionIn) -> datetime | None:
    """Return when the job is to run. Raises InputError for a stream: nobody keeps a connection open for that long."""
    run_at = read_run_at(request.headers)
    if run_at is not None and data.stream:
        raise InputError(
            f"{RUN_AT_HEADER} can't be combined with stream: a job that runs later is answered with 202. Omit stream, and "
            "follow /api/jobs/{job}/events, or omit the header.",
            field="stream",
        )
    return run_at


async def _complete(client: WaitingClient, data: CompletionIn, model: str, headers: dict[str, str]) -> Response[Any]:
    whole = collect_completion(client.accepted.follower, model, logprobs=bool(data.logprobs))
    answer = await client.wait_for(whole, "Use stream for long answers.")
    return Response(answer.body, status_code=200, headers=headers | answer.headers)


async def _stream(client: WaitingClient, data: CompletionIn, model: str, headers: dict[str, str]) -> Response[Any]:
    follower, usage = client.accepted.follower, wants_usage(data.stream_options)
    stream = ChunkStream(follower, Chunks(follower.job_id, model, include_usage=usage), include_usage=usage)
    return EventStream(await client.hold(stream), shutdown=None, headers=headers)


routes = Router("/", route_handlers=[create_chat_completion])
