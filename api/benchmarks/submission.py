"""From a request to the job of a benchmark: checks, defaults, what is stored."""

from collections.abc import Sequence

import msgspec

from api.auth.principals import Principal
from api.benchmarks.schemas import DEFAULT_PROMPT, MAX_CALLS, MAX_PROMPTS, BenchmarkIn
from api.grants.model_access import resolve_model
from api.jobs.run_at import check_run_at
from api.jobs.submit import submitter
from api.resources import Resources
from schema.errors import Forbidden, InputError, NotFound, UnknownModel
from schema.ids import new_id
from schema.job_kinds import KINDS
from schema.queries.benchmarks.benchmarks import add_benchmark
from schema.queries.benchmarks.datasets import find_dataset, list_items
from schema.queries.jobs.submissions import Callback, Idempotency, Submission
from workers.benchmarks.plan import BenchmarkSettings, total_steps

DEFAULT_ITERATIONS = 10


async def read_settings(resources: Resources, principal: Principal, data: BenchmarkIn) -> BenchmarkSettings:
    """Return a request with its defaults filled in. Raises InputError and UnknownModel, which name the field."""
    models = await _resolve_models(resources, principal, data)
    settings = BenchmarkSettings(
        models=models,
        prompts=_prompts(data) if data.dataset is None else await _questions(resources, principal, data),
        iterations=data.iterations or DEFAULT_ITERATIONS,
        concurrency=data.concurrency,
        warmup=data.warmup,
        max_tokens=data.max_tokens,
        temperature=data.temperature,
        seed=data.seed,
    )
    if total_steps(settings) > MAX_CALLS:
        most = MAX_CALLS // len(models)
        raise InputError(
            f"{settings.iterations} iterations of {len(models)} models are more than the {MAX_CALLS:,} calls that a benchmark "
            f"may make. Send at most {most} iterations.",
            field="iterations",
        )
    return settings


async def _resolve_models(resources: Resources, principal: Principal, data: BenchmarkIn) -> list[str]:
    if data.model_name is not None and data.models is not None:
        raise InputError("model_name and models say the same twice. Send one of them.", field="models")
    asked: Sequence[str | None] = data.models or [data.model_name]
    found: list[str] = []
    for place, model in enumerate(asked):
        field = f"models[{place}]" if data.models else "model_name"
        try:
            name = await resolve_model(resources, principal, model)
        except UnknownModel as error:
            raise UnknownModel(error.message, field=field) from error
        if name in found:
            raise InputError(f"{field} names {name} a second time. Name each model once.", field=field)
        found.append(name)
    return found


async def _questions(resources: Resources, principal: Principal, data: BenchmarkIn) -> list[str]:
    """Return the questions of a dataset. Raises InputError, Forbidden and NotFound."""
    if data.prompt is not None or data.prompts is not None:
        raise InputError("dataset and prompts say the same twice. Send one of them.", field="dataset")
    if "agents.manage" not in principal.rights:
        raise Forbidden(
            "dataset requires the right 'agents.manage', which your role or key does not have. Send prompts."
        )
    async with principal.tx(resources.core.pool) as db:
        row = await find_dataset(db, principal.tenant_id, data.dataset or "")
        if row is None:
            raise NotFound("No such dataset. GET /api/datasets lists them.", field="dataset")
        items = await list_items(db, principal.tenant_id, row.id, row.version, limit=MAX_PROMPTS)
    return [one.item["question"] for one in items]


def _prompts(data: BenchmarkIn) -> list[str]:
    if data.prompt is not None and data.prompts is not None:
        raise InputError("prompt and prompts say the same twice. Send one of them.", field="prompts")
    prompts = data.prompts or [data.prompt if data.prompt is not None else DEFAULT_PROMPT]
    for place, prompt in enumerate(prompts):
        if not prompt.strip():
            field = f"prompts[{place}]" if data.prompts else "prompt"
            raise InputError(f"{field} must not be empty.", field=field)
    return prompts


def build_submission(
    resources: Resources,
    principal: Principal,
    data: BenchmarkIn,
    settings: BenchmarkSettings,
    *,
    idempotency: Idempotency | None,
    request_id: str | None,
    callback: Callback | None,
) -> Submission:
    """Return the job of a benchmark, with its row."""
    job_id, stored = new_id(), msgspec.to_builtins(settings)
    row = add_benchmark(
        principal.tenant_id, job_id, models=settings.models, settings=stored, total=total_steps(settings)
    )
    return Submission(
        tenant_id=principal.tenant_id,
        job_id=job_id,
        kind=KINDS["benchmark"],
        payload={},
        model=settings.models[0],
        priority=data.priority,
        run_at=check_run_at(data.run_at),
        idempotency=idempotency,
        request_id=request_id,
        callback=callback,
        submitted_by=submitter(resources, principal, job_id),
        extra_statements=(row,),
    )
