"""`POST /api/benchmark/llm`: submit a benchmark, and wait for its figures if the caller wants to."""

from typing import Annotated, Any

import msgspec
from litestar import Response, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from api.auth.principals import MayRunBenchmarks, Principal
from api.benchmarks.results import (
    detail_out,
    require_benchmark,
)
from api.benchmarks.schemas import (
    ANSWER_EXAMPLE,
    MAX_ITERATIONS,
    BenchmarkAnswerOut,
    BenchmarkDetailOut,
    BenchmarkIn,
)
from api.benchmarks.submission import build_submission, read_settings
from api.chat.await_answer import wait_for_answer
from api.chat.response_modes import ACCEPTED_RESPONSE, JOB_ERRORS, accepted_response
from api.http.bodies.json_body import JsonRequest
from api.http.errors import problems
from api.http.headers import read_idempotency, read_preferences, wants_events
from api.http.sse import EVENT_STREAM
from api.jobs.event_stream import follow_stream
from api.jobs.run_at import with_run_at
from api.jobs.submit import Accepted, submit_and_follow
from api.openapi.headers import JOB_REQUEST_HEADERS, JOB_RESPONSE_HEADERS
from api.openapi.operations import EVENTS, described
from api.resources import AppResources, Resources
from api.webhooks.callbacks import callback_of_body
from graphs.providers.tokens import estimate_tokens
from schema.errors import InputError
from schema.queries.benchmarks import benchmarks
from schema.queries.jobs.submissions import Submission

DESCRIPTION = """Calls one or several models again and again, and measures each call: time to the first token, tokens
per second, total time, tokens, cost. It is a job: the answer is `202`; `Accept: text/event-stream` streams its events, one
`benchmark.iteration` for each call, and `wait=true` (or `Prefer: wait=N`) waits for the figures, and answers `202` if
that takes longer than requests may wait. `model_name`, `prompt` and `iterations` can be query parameters, and then no
body is needed.

Several models take turns, so that a machine that gets slower harms all of them alike. Calls count against your tenant's limits
and budgets. A benchmark that was cancelled or lost its worker keeps what it measured; `POST /api/jobs/{job_id}/retry` goes on
where it was."""


@post(
    "/llm",
    status_code=200,
    opt=described(
        example={
            "models": ["ollama/llama3.2:3b", "ollama/gemma3:1b"],
            "prompt": "What is a headrace?",
            "iterations": 10,
        },
        response=ANSWER_EXAMPLE,
        other_media_types={EVENT_STREAM: EVENTS},
        request_headers=JOB_REQUEST_HEADERS,
        response_headers=JOB_RESPONSE_HEADERS,
    ),
    responses={
        200: ResponseSpec(BenchmarkAnswerOut, description="The figures, or the job's events.", generate_examples=False),
        202: ACCEPTED_RESPONSE,
        **problems(*JOB_ERRORS),
    },
    summary="Benchmark models",
    description=DESCRIPTION,
)
async def benchmark_models(
    request: JsonRequest,
    principal: MayRunBenchmarks,
    resources: AppResources,
    data: JSONBody[BenchmarkIn | None] = None,
    model_name: Annotated[
        str | None, QueryParameter(min_length=1, max_length=200, description="As in the body; the model to measure.")
    ] = None,
    prompt: Annotated[
        str | None, QueryParameter(min_length=1, max_length=20_000, description="As in the body; what it is asked.")
    ] = None,
    iterations: Annotated[
        int | None, QueryParameter(ge=1, le=MAX_ITERATIONS, description="As in the body; how often it is called.")
    ] = None,
    wait: Annotated[bool, QueryParameter(description="Whether to wait for the figures.")] = False,
) -> Response[Any]:
    data = _merged(data or BenchmarkIn(), model_name=model_name, prompt=prompt, iterations=iterations)
    data = with_run_at(data, request.headers)
    settings = await read_settings(resources, principal, data)
    whose = principal.visible_user_id
    submission = build_submission(
        resources,
        principal,
        data,
        settings,
        idempotency=read_idempotency(request.headers, "POST /api/benchmark/llm", data, visible_user_id=whose),
        request_id=request.request_id,
        callback=await callback_of_body(resources, principal, request.headers, data),
    )
    input_tokens = estimate_tokens(len(settings.prompts[0]))
    accepted = await submit_and_follow(
        resources, principal, submission, input_tokens=input_tokens, max_tokens=settings.max_tokens
    )
    return await _respond(resources, principal, request, submission, accepted, wait=wait)


def _merged(data: BenchmarkIn, **parameters: Any) -> BenchmarkIn:
    """Return the body with the query parameters. Raises InputError for what both of them say differently."""
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        if getattr(data, name) not in (None, value):
            raise InputError(f"{name} is another one in the body. Send it once.", field=name)
    return msgspec.structs.replace(data, **given)


async def _respond(
    resources: Resources,
    principal: Principal,
    request: JsonRequest,
    submission: Submission,
    accepted: Accepted,
    *,
    wait: bool,
) -> Response[Any]:
    preferences, job_id = read_preferences(request.headers), accepted.submitted.job_id
    headers = {"X-Job-ID": str(job_id), **accepted.headers}
    if wants_events(request.headers):
        return follow_stream(resources, accepted.follower, headers)
    wait_s = preferences.wait_s or (resources.settings.request_timeout_s if wait else 0)
    if preferences.respond_async or not wait_s or submission.run_at is not None:
        accepted.follower.close()
        if preferences.respond_async:
            headers["Preference-Applied"] = "respond-async"
        return accepted_response(accepted.submitted, submission, "queued", headers)
    answer = await wait_for_answer(
        accepted.follower, min(wait_s, resources.settings.request_timeout_s), resources.shutdown
    )
    if answer.state != "succeeded":
        return accepted_response(accepted.submitted, submission, answer.state, headers)
    async with principal.tx(resources.core.pool) as db:
        row = await require_benchmark(db, principal, job_id)
        iterations = await benchmarks.list_iterations(db, principal.tenant_id, job_id)
    return Response(_answer_out(await detail_out(row, iterations)), headers=headers)


def _answer_out(detail: BenchmarkDetailOut) -> BenchmarkAnswerOut:
    first = next((result for result in detail.results if result.model == detail.models[0]), None)
    total, token, speed = (
        getattr(first, metric, None) for metric in ("total_ms", "first_token_ms", "tokens_per_second")
    )
    return BenchmarkAnswerOut(
        **msgspec.structs.asdict(detail),
        job_id=detail.id,
        model_name=detail.models[0],
        iterations=first.iterations if first else 0,
        avg_time=total and total.mean / 1000,
        min_time=total and total.min / 1000,
        max_time=total and total.max / 1000,
        avg_first_token=token and token.mean / 1000,
        tokens_per_second=speed and speed.mean,
    )
