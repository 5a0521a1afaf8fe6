"""Response modes of a route whose job produces an answer: the job's events on the same connection, the job at once, or the
answer when it is there."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from msgspec import Meta

from api.auth.principals import Principal
from api.chat.await_answer import Answer, wait_for_answer
from api.http.bodies.json_body import JsonRequest
from api.http.errors import PROVIDER_FAILURES
from api.http.headers import read_preferences, wants_events
from api.jobs.event_stream import follow_stream
from api.jobs.submit import submit_and_follow
from api.resources import Resources
from schema.events import UsageRecorded
from schema.events.base import CachedTokens, CacheWriteTokens, CostUsd, Notice, ReasoningTokens
from schema.job_kinds import INTERACTIVE, KINDS
from schema.queries.jobs.submissions import Submission
from schema.states import PublicState
from workers.queue.submit import Submitted


class UsageOut(msgspec.Struct, frozen=True):
    """Tokens that an answer used."""

    input_tokens: Annotated[int, Meta(description="Tokens read by the model.")]
    output_tokens: Annotated[int, Meta(description="Tokens written by the model.")]
    estimated: Annotated[bool, Meta(description="Whether the counts are estimates because the provider sent none.")]
    cached_tokens: CachedTokens = 0
    cache_write_tokens: CacheWriteTokens = 0
    reasoning_tokens: ReasoningTokens = 0
    cost_usd: CostUsd = None


class AnswerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a message."""

    job_id: Annotated[str, Meta(description="Id of the job that produced the answer.")]
    session_id: Annotated[UUID | None, Meta(description="The session; null if the job has none.")]
    message_id: Annotated[str | None, Meta(description="Id of the stored answer; null outside a session.")]
    text: Annotated[str, Meta(description="The answer as text.")]
    finish_reason: Annotated[str, Meta(description="Why the model stopped, such as `stop` or `length`.")]
    model: Annotated[str, Meta(description="The model that answered, as `provider/name`.")]
    usage: Annotated[UsageOut | None, Meta(description="Tokens used; null if unknown.")]
    agent: Annotated[str | None, Meta(description="The agent that answered; null if the model answered alone.")] = None
    tool_calls: Annotated[
        list[dict[str, Any]] | None,
        Meta(
            description="Calls of your own `tools`, in OpenAI's shape; `finish_reason` is `tool_calls`. Send what they return "
            "as `tool_results`."
        ),
    ] = None
    data: Annotated[
        Any, Meta(description="The answer as structured data, if the agent's output format defines it.")
    ] = None
    renderer: Annotated[dict[str, Any] | None, Meta(description="A hint on how to display `data`.")] = None
    cached: Annotated[bool, Meta(description="Whether a stored answer to the same question was reused.")] = False
    citations: Annotated[
        list[dict[str, Any]] | None,
        Meta(description="Passages that the answer cites: number, document, page, heading, passage and score."),
    ] = None
    notice: Annotated[
        Notice | None,
        Meta(description="What to know of the answer besides its text, if anything: a code, and what to do."),
    ] = None
    refusal: Annotated[str | None, Meta(description="The words with which the model refused to answer, if it did.")] = (
        None
    )
    resolved_model: Annotated[
        str | None, Meta(description="The model that answered, in its provider's words; null if it didn't say.")
    ] = None


class AcceptedOut(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was accepted and has not finished."""

    job_id: Annotated[str, Meta(description="Id of the job.")]
    session_id: Annotated[UUID | None, Meta(description="The session; null if the job has none.")]
    kind: Annotated[str, Meta(description="Kind of job, such as `chat` or `pipeline`.")]
    state: Annotated[PublicState, Meta(description="State of the job when this response was sent.")]
    job_url: Annotated[str, Meta(description="Path to poll for the job.")]
    events_url: Annotated[str, Meta(description="Path to stream the job's events from.")]


ACCEPTED_RESPONSE = ResponseSpec(
    AcceptedOut,
    description="The job was accepted and has not finished (`Prefer: respond-async`, or the wait timed out).",
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
ANSWER_EXAMPLE = {
    "job_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1e",
    "session_id": "019a5c9e-6f0a-7c11-9f53-0c9d2f6f6b1f",
    "message_id": "019a5c9e-7d20-7e02-8a41-5b1f0c3d9e77",
    "text": "A headrace is the channel that leads water to a mill wheel or a turbine.",
    "finish_reason": "stop",
    "model": "ollama/llama3.2:3b",
    "usage": {"input_tokens": 14, "output_tokens": 18, "estimated": False, "cost_usd": 0.0},
    "agent": None,
    "data": None,
    "renderer": None,
    "cached": False,
    "citations": None,
}
ANSWER_RESPONSE = ResponseSpec(AnswerOut, description="The answer, or the job's events.", generate_examples=False)
JOB_ERRORS = (
    *("model_unknown", "agent_unknown", "not_found", "session_busy", "conflict", "cancelled", "idempotency_key_reused"),
    "egress_refused",
    *("queue_full", "rate_limit_exceeded", "budget_exceeded", "worker_lost", "deadline_passed", "server_stopping"),
    *PROVIDER_FAILURES,
)
"""Errors of a request that submits a job and waits for its answer."""
RESPONSE_MODES = """Request headers select one of three response modes:

- `Accept: text/event-stream` streams the job's events on this connection.
- `Prefer: respond-async` returns `202` with the job immediately.
- Otherwise the request waits for the answer and returns `200`, or `202` with the job if the wait times out (after 45 s by
  default, sooner with `Prefer: wait=N`) or the API process is stopped meanwhile.

The job continues if you disconnect. Repeating a request with the same `Idempotency-Key` returns the same job. If the job
fails, its error code is returned: `502` or `504` if the model provider failed, `409` if the job was cancelled."""
ON_BUSY = """What to do if another job of the session has not finished: `queue` waits for it, `reject` fails with `409`,
`interrupt` cancels it and keeps its partial answer, `rollback` cancels it and removes its question and answer."""
PRIORITY = "Order among the waiting jobs of your tenant: `high` runs first."


async def respond(
    resources: Resources,
    principal: Principal,
    request: JsonRequest,
    submission: Submission,
    *,
    input_tokens: int,
    max_tokens: int | None = None,
) -> Response[Any]:
    """Submit a job and respond in the mode that the headers select. `max_tokens` is what the request says of its answer. Raises
    what `submit_and_follow` raises, and JobEnded if the job fails while the request waits."""
    preferences = read_preferences(request.headers)
    if submission.run_at is not None and not wants_events(request.headers):
        preferences = preferences._replace(respond_async=True)
    if submission.kind is KINDS["chat"] and not preferences.respond_async:
        submission = msgspec.structs.replace(submission, payload={**submission.payload, INTERACTIVE: True})
    accepted = await submit_and_follow(
        resources,
        principal,
        submission,
        input_tokens=input_tokens,
        max_tokens=max_tokens,
        is_followed=wants_events(request.headers) or not preferences.respond_async,
    )
    submitted, follower = accepted.submitted, accepted.follower
    headers = {"X-Job-ID": str(submitted.job_id), **accepted.headers}
    if wants_events(request.headers):
        return follow_stream(resources, follower, headers)
    if preferences.respond_async:
        follower.close()
        headers["Preference-Applied"] = "respond-async"
        return accepted_response(submitted, submission, "queued", headers)
    timeout_s = resources.settings.request_timeout_s
    answer = await wait_for_answer(follower, min(timeout_s, preferences.wait_s or timeout_s), resources.shutdown)
    return _answer_response(answer, submitted, submission, headers)


def _answer_response(
    answer: Answer, submitted: Submitted, submission: Submission, headers: dict[str, str]
) -> Response[Any]:
    if answer.state != "succeeded" or answer.message is None:
        return accepted_response(submitted, submission, answer.state, headers)
    usage, message = answer.usage, answer.message
    body = AnswerOut(
        job_id=answer.job_id,
        session_id=submitted.session_id,
        message_id=message.message_id,
        text=message.text,
        finish_reason=message.finish_reason,
        model=usage.model if usage else submission.model,
        usage=_usage_out(usage) if usage else None,
        agent=message.agent,
        tool_calls=message.tool_calls,
        data=message.data,
        renderer=message.renderer,
        cached=message.cached,
        citations=message.citations,
        notice=message.notice,
        refusal=message.refusal,
        resolved_model=message.resolved_model,
    )
    return Response(body, status_code=200, headers=headers)


def _usage_out(usage: UsageRecorded) -> UsageOut:
    return UsageOut(
        usage.input_tokens,
        usage.output_tokens,
        usage.estimated,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        None if usage.cost_usd is msgspec.UNSET else usage.cost_usd,
    )


def accepted_response(
    submitted: Submitted, submission: Submission, state: PublicState, headers: dict[str, str]
) -> Response[Any]:
    """Return the 202 response, with the URL of the job."""
    url = f"/api/jobs/{submitted.job_id}"
    body = AcceptedOut(
        job_id=str(submitted.job_id),
        session_id=submitted.session_id,
        kind=submission.kind.name,
        state=state,
        job_url=url,
        events_url=f"{url}/events",
    )
    return Response(body, status_code=202, headers={**headers, "Location": url, "Retry-After": "1"})
