"""What every route that makes a job does: settle the model, submit, follow from the first event."""

from contextlib import AsyncExitStack

from api.resources import Resources
from graphs.providers.errors import ModelUnknown, ProviderUnknown
from schema.errors import UnknownAgent, UnknownModel
from workers.follow import Follower
from workers.submit import Submission, Submitted, submit

AGENT = "agent/"


async def resolve_model(resources: Resources, model: str | None) -> str:
    """Return `provider/name` for what the caller named, or for nothing. Raises UnknownModel, UnknownAgent, or what went
    wrong when a provider was asked for its models."""
    if model and model.startswith(AGENT):
        refuse_agent(model.removeprefix(AGENT), field="model")
    try:
        return str(await resources.providers.resolve(model))
    except (ModelUnknown, ProviderUnknown) as error:
        if model is None:
            raise
        raise UnknownModel(error.message, field="model") from error


def refuse_agent(agent: str, *, field: str) -> None:
    """Raise UnknownAgent; there are no agents yet."""
    raise UnknownAgent(
        f"There is no agent {agent[:80]!r} that you may use. Leave it out for a plain chat.", field=field
    )


async def submit_and_follow(resources: Resources, submission: Submission) -> tuple[Submitted, Follower]:
    """Submit a job and return it with a follower that has missed nothing; whoever reads the follower closes it.

    For an idempotency key that was used before it is the follower of the first job, from its first event.
    """
    hub = resources.ports.hub
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(hub.expect(submission.tenant_id, submission.job_id))
        submitted = await submit(resources.ports, submission)
        if submitted.replayed:
            follower.close()
            follower = await hub.join(submission.tenant_id, submitted.job_id)
        else:
            follower.begin(submitted.queued)
        stack.pop_all()
    return submitted, follower
