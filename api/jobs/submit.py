"""What every route that creates a job does: reserve from the tenant's limits, submit, and follow from the first event."""

import dataclasses
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import structlog
from msgspec.structs import replace

from api.auth.principals import Principal
from api.http.limit_errors import limit_error
from api.resources import Resources
from schema.errors import LimitReached
from schema.job_kinds import INTERACTIVE, OF_BATCH
from schema.queries.jobs.submissions import Submission, Submitter
from workers.job_tokens import JobCaller, seal_caller, sorted_rights
from workers.limits.headers import rate_limit_headers
from workers.limits.limits import LimitPolicy, Verdict
from workers.limits.refusals import RequestedUsage, budget_too_small, budget_used_up
from workers.limits.reservation import limit_policy, reserved_payload, settle_reservation
from workers.limits.spending import find_overspent
from workers.queue.budget_warnings import record_budget_warning
from workers.queue.submit import Submitted, submit
from workers.redis.client import RedisUnavailable
from workers.stream.follow import Follower

log = structlog.get_logger()

RESERVED_OUTPUT_TOKENS = 1024  # reserved if the request sets no limit; the worker reserves more as the answer grows


@dataclass(frozen=True)
class Accepted:
    """A job that was accepted, a follower from its first event, and the rate limit headers."""

    submitted: Submitted
    follower: Follower
    headers: dict[str, str]


def submitter(resources: Resources, principal: Principal, job_id: UUID, *, for_tools: bool = False) -> Submitter:
    """Return who submits the job. `for_tools`: with what its tools' tokens say of them, encrypted."""
    secret = seal_caller(resources.vault, job_caller(resources, principal), job_id) if for_tools else None
    return Submitter(principal.actor, principal.user_id, principal.visible_user_id, principal.address, secret)


def job_caller(resources: Resources, principal: Principal) -> JobCaller:
    """Return for whom a job works, as the tokens of its tools say it."""
    return JobCaller(
        issuer=resources.settings.issuer,
        tenant_id=principal.tenant_id,
        subject=str(principal.user_id or principal.actor),
        role=principal.role,
        rights=sorted_rights(principal.rights),
        provider_token=principal.provider_token,
    )


async def submit_and_follow(
    resources: Resources,
    principal: Principal,
    submission: Submission,
    *,
    input_tokens: int,
    max_tokens: int | None,
    is_followed: bool = True,
) -> Accepted:
    """Submit a job within its tenant's limits. The caller must close the follower.

    `input_tokens` is an estimate. If the idempotency key was used before, the follower is that of the first job, from its
    first event. With `is_followed` False the caller closes it at once. Raises LimitReached and what `submit` raises; then
    nothing was accepted and nothing stays reserved.
    """
    if principal.batch_line is not None:
        submission = _for_batch(submission, principal.batch_line)
    tokens = (input_tokens, max_tokens or RESERVED_OUTPUT_TOKENS)
    verdict = await reserve(resources, principal, submission.job_id, submission.model, tokens)
    if verdict is not None:
        submission = replace(submission, payload=submission.payload | reserved_payload(verdict, principal.budgets))
    try:
        submitted, follower = await _submit(
            resources, submission, visible_user_id=principal.visible_user_id, is_followed=is_followed
        )
    except BaseException:
        await _release(resources, submission)
        raise
    if submitted.replayed:
        await _release(resources, submission)
    return Accepted(submitted, follower, rate_limit_headers(verdict) if verdict else {})


def _for_batch(submission: Submission, line: str) -> Submission:
    """Return the job of a line of a batch: behind all others of its tenant, and patient with its provider."""
    payload = {name: value for name, value in submission.payload.items() if name != INTERACTIVE} | {OF_BATCH: line}
    return replace(submission, priority="low", payload=payload)


async def _submit(
    resources: Resources, submission: Submission, *, visible_user_id: UUID | None, is_followed: bool
) -> tuple[Submitted, Follower]:
    hub = resources.core.hub
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(hub.expect(submission.tenant_id, submission.job_id))
        submitted = await submit(resources.core, submission, is_followed=is_followed)
        if submitted.replayed:
            follower.close()
            follower = await hub.join(submission.tenant_id, submitted.job_id, visible_user_id=visible_user_id)
        else:
            follower.start_with(submitted.queued)
        stack.pop_all()
    return submitted, follower


async def _release(resources: Resources, submission: Submission) -> None:
    if "reserved" in submission.payload:
        limits, tenant_id = resources.core.limits, submission.tenant_id
        await settle_reservation(limits, tenant_id, submission.job_id, tokens=0, nanos=0, refund_request=True)


async def reserve(
    resources: Resources, principal: Principal, job_id: UUID, model: str, tokens: tuple[int, int]
) -> Verdict | None:
    """Reserve what the job may use from the limits of the tenant, the key and the user; None if nothing is limited. Raises
    LimitReached."""
    policy = limit_policy(principal.tenant, principal.budgets)
    if policy.is_unlimited:
        return None
    if principal.batch_line is not None:
        policy = _half_of_rates(policy, sum(tokens))
    wanted = RequestedUsage(*tokens, nanos=await _estimate_cost(resources, principal, policy, model, tokens))
    try:
        verdict = await resources.core.limits.reserve(
            principal.tenant_id, job_id, policy, tokens=wanted.tokens, nanos=wanted.nanos
        )
    except RedisUnavailable:
        log.warning("limits_unchecked", tenant_id=str(principal.tenant_id))
        await _check_budgets(resources, principal, policy, wanted)
        return None
    if verdict.warn:
        warning = record_budget_warning(resources.core, principal.tenant, policy, verdict.warn)
        resources.background.run(warning, "budget-warning")
    if not verdict.allowed:
        raise limit_error(verdict, wanted)
    return verdict


def _half_of_rates(policy: LimitPolicy, tokens: int) -> LimitPolicy:
    """Return a policy of which batches leave half to whoever waits for an answer; one line alone may have more."""
    requests, per_minute = policy.requests_per_minute, policy.tokens_per_minute
    return dataclasses.replace(
        policy,
        requests_per_minute=None if requests is None else -(-requests // 2),
        tokens_per_minute=None if per_minute is None else min(per_minute, max(per_minute // 2, tokens)),
    )


async def _estimate_cost(
    resources: Resources, principal: Principal, policy: LimitPolicy, model: str, tokens: tuple[int, int]
) -> int:
    if not policy.limits_money:
        return 0
    if uses_own_key(principal, model):
        return 0
    price = (await resources.catalogs.latest()).price(model)
    return price.most(*tokens) if price else 0


def uses_own_key(principal: Principal, model: str) -> bool:
    """Whether the tenant has a provider key of its own for the model, so that a call costs the operator nothing."""
    return model.partition("/")[0] in principal.tenant.services


async def _check_budgets(
    resources: Resources, principal: Principal, policy: LimitPolicy, wanted: RequestedUsage
) -> None:
    """Check budgets by the usage in Postgres while Redis is unavailable. Rates are not limited then; queue and cap are."""
    violated = await find_overspent(resources.core.pool, principal.tenant_id, policy, wanted)
    if not violated:
        return
    too_large = budget_too_small(violated, wanted)
    message, ever_fits = (too_large.message, too_large.ever_fits) if too_large else (budget_used_up(violated[0]), True)
    raise LimitReached(message, code="budget_exceeded", retry_after_s=600 if ever_fits else None)
