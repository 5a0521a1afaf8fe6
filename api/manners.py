"""The manners of a route whose job answers: the job's events on the same connection, the job at once, or the answer when it is
there (A1)."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from api.answers import Answer, wait_for_answer
from api.following import follow_stream
from api.headers import read_preferences, wants_events
from api.principals import Principal
from api.requests import JsonRequest
from api.resources import Resources
from api.submitting import submit_and_follow
from schema.states import PublicState
from workers.submit import Submission, Submitted


class UsageOut(msgspec.Struct, frozen=True):
    """Tokens; `estimated` where the provider did not count them."""

    input_tokens: int
    output_tokens: int
    estimated: bool


class AnswerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a chat. `agent` is who answered, None for the model alone; `data` is the answer as an object where its
    agent's output format has one, `renderer` a hint how to show it; `cached`: it was given before. `citations` are the
    passages that the answer rests on: number, document, page, heading, passage, score."""

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
    citations: list[dict[str, Any]] | None = None


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
PROVIDER_FAILURES = (
    *("provider_refused", "provider_rate_limited", "provider_failed", "provider_overloaded", "provider_resting"),
    *("provider_timeout", "provider_stalled"),
)
"""How a request may fail that calls a model's provider."""
JOB_FAILURES = (
    *("model_unknown", "agent_unknown", "not_found", "session_busy", "conflict", "cancelled", "idempotency_key_reused"),
    *("queue_full", "rate_limit_exceeded", "budget_exceeded", "worker_lost", "deadline_passed", *PROVIDER_FAILURES),
)
"""How a request may fail that submits a job and waits for its answer."""
MANNERS = """Three manners: `Accept: text/event-stream` streams the job's events on this connection; `Prefer:
respond-async` answers 202 with the job at once; otherwise the answer is waited for (45 s unless set otherwise, less with
`Prefer: wait=N`) and comes as 200, or the job as 202 when time is up. The job goes on if you leave. `Idempotency-Key`
makes a repeated request give the same job. A job that failed answers with its own code: 502 or 504 when the model's
provider is to blame, 409 when it was cancelled."""


async def answer_in_manner(
    resources: Resources, principal: Principal, request: JsonRequest, submission: Submission, *, input_tokens: int
) -> Response[Any]:
    """Submit a job and answer in the manner that the request's headers ask for. Raises what `submit_and_follow` raises, and
    JobEnded for a job that failed while it was waited for."""
    preferences = read_preferences(request.headers)
    accepted = await submit_and_follow(resources, principal, submission, input_tokens=input_tokens, max_tokens=None)
    submitted, follower = accepted.submitted, accepted.follower
    headers = {"X-Job-ID": str(submitted.job_id), **accepted.headers}
    if wants_events(request.headers):
        return follow_stream(resources, follower, headers)
    if preferences.respond_async:
        follower.close()
        headers["Preference-Applied"] = "respond-async"
        return accepted_job(submitted, submission, "queued", headers)
    limit_s = resources.settings.request_timeout_s
    answer = await wait_for_answer(follower, min(limit_s, preferences.wait_s or limit_s))
    return _answered(answer, submitted, submission, headers)


def _answered(answer: Answer, submitted: Submitted, submission: Submission, headers: dict[str, str]) -> Response[Any]:
    if answer.state != "succeeded" or answer.message is None:
        return accepted_job(submitted, submission, answer.state, headers)
    usage, message = answer.usage, answer.message
    body = AnswerOut(
        job_id=answer.job_id,
        session_id=submitted.session_id,
        message_id=message.message_id,
        text=message.text,
        finish_reason=message.finish_reason,
        model=usage.model if usage else submission.model,
        usage=UsageOut(usage.input_tokens, usage.output_tokens, usage.estimated) if usage else None,
        agent=message.agent,
        data=message.data,
        renderer=message.renderer,
        cached=message.cached,
        citations=message.citations,
    )
    return Response(body, status_code=200, headers=headers)


def accepted_job(
    submitted: Submitted, submission: Submission, state: PublicState, headers: dict[str, str]
) -> Response[Any]:
    """The answer 202: where to look for the job."""
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
