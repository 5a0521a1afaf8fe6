"""Whether a schedule's job may still be submitted: its owner, the agent, the pipeline and the models as they are by now."""

from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from schema.errors import Forbidden, NotFound, UnknownAgent, UnknownModel
from schema.identity.budgets import CallerBudget, read_budgets
from schema.identity.rights import SEES_ALL, Right, rights_for_role
from schema.identity.tenancy import TenantSnapshot
from schema.postgres.connections import Db
from schema.queries.agents.pipelines import find_pipeline
from schema.queries.documents.collections import find_collection_by_id
from schema.queries.identity.callers import find_tenant_snapshot
from schema.queries.jobs.submissions import Submitter
from schema.queries.schedules.schedules import Owner, find_owner
from schema.vault import Vault
from workers.job_tokens import JobCaller, seal_caller, sorted_rights
from workers.schedules.template import CompiledJob

AUTO = "auto"


class WorksFor(Protocol):
    """Whatever submits jobs in somebody's name: a schedule, a trigger."""

    @property
    def user_id(self) -> UUID | None: ...
    @property
    def created_by(self) -> str: ...
    @property
    def issuer(self) -> str: ...


@dataclass(frozen=True)
class Permission:
    """A job that may be submitted: for which tenant, in whose name, with no more rights than whoever saved it had, and what its
    payload needs besides the template. `model` is the job's, or the embedder of its collection by now."""

    tenant: TenantSnapshot
    owner: Owner
    rights: frozenset[Right]
    payload: dict[str, Any]
    model: str

    @property
    def budgets(self) -> tuple[CallerBudget, ...]:
        """The budgets of its owner."""
        return read_budgets(self.owner.budgets)


async def require_permission(
    db: Db, tenant_id: UUID, schedule: WorksFor, compiled: CompiledJob, *, what: str = "schedule"
) -> Permission:
    """Return the permission; `what` it is for, in the words of errors. Raises Forbidden, UnknownAgent, UnknownModel or
    NotFound, which say what is missing."""
    owner = await find_owner(db, tenant_id, user_id=schedule.user_id, actor=schedule.created_by)
    tenant = await find_tenant_snapshot(db, tenant_id)
    if owner is None or tenant is None or not owner.is_active:
        who = "user" if schedule.user_id is not None else "API key"
        raise Forbidden(
            f"The {who} that this {what} works for is gone or was disabled. Save the {what} anew to take it over."
        )
    rights = rights_for_role(owner.role, owner.scopes) & frozenset(compiled.rights)
    if compiled.right not in rights:
        raise Forbidden(f"The {what}'s owner no longer has the right {compiled.right!r}.")
    for model in compiled.models:
        if not tenant.may_use_model(model):
            raise UnknownModel(f"The model {model[:80]!r} is no longer granted to this tenant.")
    if compiled.pipeline is not None:
        pipeline = await find_pipeline(db, tenant_id, "", compiled.pipeline)
        if pipeline is None:
            raise NotFound(f"The pipeline of this {what} was deleted.")
        newest = {"pipeline": str(pipeline.id), "version": pipeline.version}
        return Permission(tenant, owner, rights, newest, compiled.model)
    if compiled.collection is not None:
        collection = await find_collection_by_id(db, tenant_id, compiled.collection)
        if collection is None:
            raise NotFound(f"The collection of this {what} was deleted. Save the {what} anew to make another.")
        for_whom = {"by": schedule.created_by, "manages": "documents.manage" in rights}
        return Permission(tenant, owner, rights, for_whom, collection.next_embedder or collection.embedder)
    if compiled.agent not in (None, AUTO) and compiled.agent not in tenant.agents:
        raise UnknownAgent(
            f"The agent {str(compiled.agent)[:80]!r} is gone, disabled or no longer granted to this tenant."
        )
    return Permission(tenant, owner, rights, {}, compiled.model)


def submitter(
    vault: Vault, tenant_id: UUID, schedule: WorksFor, permission: Permission, job_id: UUID, *, for_tools: bool
) -> Submitter:
    """Return in whose name the job is submitted. `for_tools`: with what its tools' tokens say of them, encrypted."""
    owner, secret = permission.owner, None
    if for_tools:
        caller = JobCaller(
            issuer=schedule.issuer,
            tenant_id=tenant_id,
            subject=str(schedule.user_id or schedule.created_by),
            role=owner.role,
            rights=sorted_rights(permission.rights),
        )
        secret = seal_caller(vault, caller, job_id)
    visible = None if schedule.user_id is None or owner.role in SEES_ALL else schedule.user_id
    return Submitter(schedule.created_by, schedule.user_id, visible, None, secret)
