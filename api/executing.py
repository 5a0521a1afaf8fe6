"""`POST /api/pipelines/{id}/execute`: run a pipeline, with the manners of `POST /api/chat`.

A built-in one is a chat job: the graph that it names is one that agents run. A tenant's own is a job of kind `pipeline`.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Response, post
from litestar.params import FromPath, JSONBody
from psycopg.rows import DictRow

from api.answers import Answer, wait_for_answer
from api.chat import ACCEPTED, ANSWERED, AcceptedOut, AnswerOut, UsageOut
from api.describing import EVENTS, described
from api.errors import problems
from api.following import follow_stream
from api.granted import Target, resolve_model, resolve_target
from api.headers import read_idempotency, read_preferences, wants_events
from api.pipeline_shapes import ExecuteIn
from api.principals import MayRunPipelines, Principal
from api.requests import JsonRequest
from api.resources import Opened, Resources
from api.streams import EVENT_STREAM
from api.submitting import submit_and_follow, submitter
from graphs.pipelines.builtin import Builtin, find_builtin
from graphs.pipelines.definition import NAME
from graphs.providers.settings import AUTO
from graphs.providers.tokens import estimate_tokens
from schema.db import Db
from schema.errors import InputError, NotFound
from schema.ids import new_id
from schema.kinds import KINDS, Kind
from schema.queries.pipelines import find_pipeline, find_version
from schema.states import PublicState
from workers.submit import Submission, Submitted

NO_PIPELINE = "There is no such pipeline of your tenant. GET /api/pipelines lists them."
NO_VERSION = "There is no such version of this pipeline. GET /api/pipelines/{id}/versions lists them."
LAST_VERSION = 2**31 - 1
DESCRIPTION = """The manners are those of `POST /api/chat`: a stream, `Prefer: respond-async`, or waiting; `Idempotency-Key`
too. Each step is told as an event; a worker that is killed is followed by one that goes on at the unfinished step. The built-in
`react` and `plan_execute` need an `agent`. With a `session_id` the input and the answer become messages of that session."""


@post(
    "/{pipeline:str}/execute",
    status_code=200,
    opt=described(example={"input": "What is a headrace?"}, also={EVENT_STREAM: EVENTS}),
    responses={200: ANSWERED, 202: ACCEPTED, **problems(400, 404, 409, 413, 415, 422, 429, 502, 503, 504)},
    summary="Run a pipeline",
    description=DESCRIPTION,
)
async def execute(
    pipeline: FromPath[str],
    data: JSONBody[ExecuteIn],
    request: JsonRequest,
    principal: MayRunPipelines,
    resources: Opened,
) -> Response[Any]:
    submission = await _submission(pipeline, data, request, principal, resources)
    preferences, kind = read_preferences(request.headers), submission.kind.name
    said = estimate_tokens(len(data.input))
    accepted = await submit_and_follow(resources, principal, submission, input_tokens=said, max_tokens=None)
    submitted, follower = accepted.submitted, accepted.follower
    headers = {"X-Job-ID": str(submitted.job_id), **accepted.headers}
    if wants_events(request.headers):
        return follow_stream(resources, follower, headers)
    if preferences.respond_async:
        follower.close()
        return _accepted(submitted, kind, "queued", {**headers, "Preference-Applied": "respond-async"})
    limit_s = resources.settings.request_timeout_s
    answer = await wait_for_answer(follower, min(limit_s, preferences.wait_s or limit_s))
    return _answered(answer, submitted, submission, headers)


async def _submission(
    pipeline: str, data: ExecuteIn, request: JsonRequest, principal: Principal, resources: Resources
) -> Submission:
    if not data.input.strip():
        raise InputError("input must not be empty.", field="input")
    one = find_builtin(pipeline)
    chosen = await (
        _own(pipeline, data, principal, resources) if one is None else _builtin(one, data, principal, resources)
    )
    payload, target, in_session = {"options": {}, **chosen.payload}, chosen.target, data.session_id is not None
    if not in_session:
        payload["messages"] = [{"role": "user", "content": data.input}]
    if target.asked_model:
        payload["asked_model"] = True
    job_id, route = new_id(), f"POST /api/pipelines/{chosen.name}/execute"
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS[chosen.kind],
        payload=payload,
        model=target.model,
        agent=target.agent,
        parts=[{"type": "text", "text": data.input}] if in_session else None,
        session_id=data.session_id,
        on_busy=data.on_busy,
        priority=data.priority,
        idempotency=read_idempotency(request.headers, route, data, sees=principal.sees),
        request_id=request.request_id,
        by=await submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )


@dataclass(frozen=True)
class Chosen:
    """What is run: the kind of its job, the name under which idempotency keys are kept, who answers, what the worker needs."""

    kind: Kind
    name: str
    target: Target
    payload: dict[str, Any]


async def _builtin(one: Builtin, data: ExecuteIn, principal: Principal, resources: Resources) -> Chosen:
    target = await _builtin_target(one, data, principal, resources)
    return Chosen("chat", one.name, target, {"graph": one.name} if one.needs_agent else {})


async def _builtin_target(one: Builtin, data: ExecuteIn, principal: Principal, resources: Resources) -> Target:
    if data.version is not None:
        raise InputError("Built-in pipelines have no versions; leave version out.", field="version")
    if one.needs_agent:
        if data.agent in (None, AUTO):
            raise InputError(f"{one.name} runs for an agent: name one of GET /api/agents.", field="agent")
        return await resolve_target(resources, principal, data.model, data.agent)
    _refuse_agent(one.name, data)
    if one.name == "chat":
        model = await resolve_model(resources, principal, data.model)
        return Target(model, None, data.model not in (None, AUTO))
    return await resolve_target(resources, principal, data.model, AUTO)


async def _own(pipeline: str, data: ExecuteIn, principal: Principal, resources: Resources) -> Chosen:
    async with principal.tx(resources.ports.pool) as db:
        row = await find_own(db, principal, pipeline, data.version)
    _refuse_agent(row["name"], data)
    model = await resolve_model(resources, principal, data.model)
    # The name under which its usage is counted; no agent has a stroke in its name.
    target = Target(model, f"pipeline/{row['name']}", data.model not in (None, AUTO))
    return Chosen("pipeline", str(row["id"]), target, {"pipeline": str(row["id"]), "version": row["version"]})


def _refuse_agent(name: str, data: ExecuteIn) -> None:
    if data.agent is not None:
        raise InputError(f"{name} names its agents itself; leave agent out.", field="agent")


async def find_own(db: Db, principal: Principal, pipeline: str, version: int | None = None) -> DictRow:
    """Return one of the caller's pipelines, by its name or id, with its newest definition or that of a version. Raises
    NotFound."""
    pipeline_id = _read_id(pipeline)
    if pipeline_id is None and not NAME.fullmatch(pipeline):
        raise NotFound(NO_PIPELINE)
    row = await find_pipeline(db, principal.tenant_id, pipeline, pipeline_id)
    if row is None:
        raise NotFound(NO_PIPELINE)
    if version is None:
        return row
    found = None
    if 1 <= version <= LAST_VERSION:
        found = await find_version(db, principal.tenant_id, row["id"], version)
    if found is None:
        raise NotFound(NO_VERSION)
    return {**row, "version": found["version"], "definition": found["definition"]}


def _read_id(text: str) -> UUID | None:
    """Return the id that a path names; one spelling only."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def _answered(answer: Answer, submitted: Submitted, submission: Submission, headers: dict[str, str]) -> Response[Any]:
    if answer.state != "succeeded" or answer.message is None:
        return _accepted(submitted, submission.kind.name, answer.state, headers)
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
    )
    return Response(body, status_code=200, headers=headers)


def _accepted(submitted: Submitted, kind: Kind, state: PublicState, headers: dict[str, str]) -> Response[Any]:
    url = f"/api/jobs/{submitted.job_id}"
    body = AcceptedOut(
        job_id=str(submitted.job_id),
        session_id=submitted.session_id,
        kind=kind,
        state=state,
        job_url=url,
        events_url=f"{url}/events",
    )
    return Response(body, status_code=202, headers={**headers, "Location": url, "Retry-After": "1"})
