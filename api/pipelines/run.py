"""`POST /api/pipelines/{id}/execute`: run a pipeline, with the same response modes as `POST /api/chat`.

A built-in pipeline is a chat job, with the graph of the same name. A tenant's own is a job of kind `pipeline`.
"""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, post
from litestar.params import JSONBody, PathParameter

from api.auth.principals import MayRunPipelines, Principal
from api.chat.response_modes import (
    ACCEPTED_RESPONSE,
    ANSWER_EXAMPLE,
    ANSWER_RESPONSE,
    JOB_ERRORS,
    respond,
)
from api.grants.model_access import Target, resolve_model, resolve_target
from api.http.bodies.json_body import JsonRequest
from api.http.bodies.limits import LARGE_BODY
from api.http.errors import problems
from api.http.headers import read_idempotency
from api.http.sse import EVENT_STREAM
from api.jobs.run_at import check_run_at, with_run_at
from api.jobs.submit import submitter
from api.openapi.headers import JOB_REQUEST_HEADERS, JOB_RESPONSE_HEADERS
from api.openapi.operations import EVENTS, described
from api.pipelines.schemas import ExecuteIn
from api.resources import AppResources, Resources
from api.webhooks.callbacks import callback_of_body
from graphs.pipelines.builtin import BuiltinPipeline, find_builtin
from graphs.pipelines.definition import NAME
from graphs.providers.settings import AUTO
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError, NotFound
from schema.ids import new_id
from schema.job_kinds import KINDS, Kind
from schema.postgres.connections import Db
from schema.queries.agents.pipelines import DefinedPipeline, find_pipeline, find_version
from schema.queries.jobs.submissions import Submission

NO_PIPELINE = "No such pipeline in your tenant. GET /api/pipelines lists them."
NO_VERSION = "No such version of this pipeline. GET /api/pipelines/{id}/versions lists them."
MAX_VERSION = 2**31 - 1
PIPELINE_ANSWER_EXAMPLE = ANSWER_EXAMPLE | {"session_id": None, "message_id": None}
DESCRIPTION = """Runs the pipeline as a job, with the same response modes as `POST /api/chat`: a stream, `Prefer: respond-async`
or waiting; `Idempotency-Key` works too. Each step sends events. If a worker is lost, another one continues at the unfinished
step. The built-in pipelines `react` and `plan_execute` require `agent`. With `session_id`, the input and the answer become
messages of that session."""


@post(
    "/{pipeline:str}/execute",
    status_code=200,
    opt=LARGE_BODY
    | described(
        example={"input": "What is a headrace?"},
        response=PIPELINE_ANSWER_EXAMPLE,
        other_media_types={EVENT_STREAM: EVENTS},
        request_headers=JOB_REQUEST_HEADERS,
        response_headers=JOB_RESPONSE_HEADERS,
    ),
    responses={200: ANSWER_RESPONSE, 202: ACCEPTED_RESPONSE, **problems(*JOB_ERRORS)},
    summary="Run a pipeline",
    description=DESCRIPTION,
)
async def run_pipeline(
    pipeline: Annotated[str, PathParameter(description="Name or id of the pipeline.")],
    data: JSONBody[ExecuteIn],
    request: JsonRequest,
    principal: MayRunPipelines,
    resources: AppResources,
) -> Response[Any]:
    data = with_run_at(data, request.headers)
    submission, name = await build_run(pipeline, data, principal, resources)
    route, whose = f"POST /api/pipelines/{name}/execute", principal.visible_user_id
    submission = msgspec.structs.replace(
        submission,
        idempotency=read_idempotency(request.headers, route, data, visible_user_id=whose),
        request_id=request.request_id,
        callback=await callback_of_body(resources, principal, request.headers, data),
    )
    input_tokens = estimate_tokens(len(data.input))
    return await respond(resources, principal, request, submission, input_tokens=input_tokens)


async def build_run(
    pipeline: str, data: ExecuteIn, principal: Principal, resources: Resources
) -> tuple[Submission, str]:
    """Return the job of a run, and the pipeline's name in the scope of idempotency keys. Raises InputError, NotFound,
    UnknownModel and UnknownAgent, which name the field."""
    if not data.input.strip():
        raise InputError("input must not be empty.", field="input")
    builtin = find_builtin(pipeline)
    selected = await (
        _own_run(pipeline, data, principal, resources)
        if builtin is None
        else _builtin_run(builtin, data, principal, resources)
    )
    payload, target, in_session = {"options": {}, **selected.payload}, selected.target, data.session_id is not None
    if not in_session:
        payload["messages"] = [{"role": "user", "content": data.input}]
    if target.model_requested:
        payload["asked_model"] = True
    job_id = new_id()
    submission = Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS[selected.kind],
        payload=payload,
        model=target.model,
        agent=target.agent,
        parts=[{"type": "text", "text": data.input}] if in_session else None,
        session_id=data.session_id,
        on_busy=data.on_busy,
        priority=data.priority,
        run_at=check_run_at(data.run_at, data.session_id),
        submitted_by=submitter(resources, principal, job_id, for_tools=target.agent is not None),
    )
    return submission, selected.name


@dataclass(frozen=True)
class PipelineRun:
    """What to run: kind of the job, name in the scope of idempotency keys, target, and payload for the worker."""

    kind: Kind
    name: str
    target: Target
    payload: dict[str, Any]


async def _builtin_run(
    builtin: BuiltinPipeline, data: ExecuteIn, principal: Principal, resources: Resources
) -> PipelineRun:
    target = await _builtin_target(builtin, data, principal, resources)
    return PipelineRun("chat", builtin.name, target, {"graph": builtin.name} if builtin.needs_agent else {})


async def _builtin_target(
    builtin: BuiltinPipeline, data: ExecuteIn, principal: Principal, resources: Resources
) -> Target:
    if data.version is not None:
        raise InputError("Built-in pipelines have no versions. Omit version.", field="version")
    if builtin.needs_agent:
        if data.agent in (None, AUTO):
            raise InputError(
                f"{builtin.name} requires agent: the name of one that GET /api/agents lists.", field="agent"
            )
        return await resolve_target(resources, principal, data.model, data.agent)
    _reject_agent(builtin.name, data)
    if builtin.name == "chat":
        model = await resolve_model(resources, principal, data.model)
        return Target(model, None, data.model not in (None, AUTO))
    return await resolve_target(resources, principal, data.model, AUTO)


async def _own_run(pipeline: str, data: ExecuteIn, principal: Principal, resources: Resources) -> PipelineRun:
    async with principal.tx(resources.core.pool) as db:
        row = await find_own(db, principal, pipeline, data.version)
    _reject_agent(row.name, data)
    model = await resolve_model(resources, principal, data.model)
    # Usage is counted under this name. Agents' names contain no slash.
    target = Target(model, f"pipeline/{row.name}", data.model not in (None, AUTO))
    return PipelineRun("pipeline", str(row.id), target, {"pipeline": str(row.id), "version": row.version})


def _reject_agent(name: str, data: ExecuteIn) -> None:
    if data.agent is not None:
        raise InputError(f"{name} does not take an agent. Omit agent.", field="agent")


async def find_own(db: Db, principal: Principal, pipeline: str, version: int | None = None) -> DefinedPipeline:
    """Return one of the tenant's pipelines by name or id, with its newest definition or that of `version`. Raises NotFound."""
    pipeline_id = _parse_id(pipeline)
    if pipeline_id is None and not NAME.fullmatch(pipeline):
        raise NotFound(NO_PIPELINE)
    row = await find_pipeline(db, principal.tenant_id, pipeline, pipeline_id)
    if row is None:
        raise NotFound(NO_PIPELINE)
    if version is None:
        return row
    found = None
    if 1 <= version <= MAX_VERSION:
        found = await find_version(db, principal.tenant_id, row.id, version)
    if found is None:
        raise NotFound(NO_VERSION)
    return msgspec.structs.replace(row, version=found.version, definition=found.definition)


def _parse_id(text: str) -> UUID | None:
    """Return the id in a path; None if it isn't one in canonical spelling."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None
