"""The models that a benchmark calls: providers with the right keys, and prices."""

from collections.abc import Sequence
from dataclasses import dataclass

from graphs.providers.contract import Provider
from graphs.providers.tenant_providers import TenantCredential
from schema.errors import UnknownModel
from schema.model_catalog.prices import Price
from schema.queries.agents.agent_config import read_run_inputs
from schema.queries.jobs.attempts import ClaimedJob
from schema.vault import Sealed
from workers.agents.context import AgentContext
from workers.benchmarks.measure import Measured


@dataclass(frozen=True)
class BenchmarkTarget:
    """A model to call. `own_key`: with the tenant's own provider key, so it costs nothing here, and neither does one whose
    `price` is unknown."""

    name: str
    provider: Provider
    own_key: bool
    price: Price | None

    def most_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call costs, in nano-USD."""
        return 0 if self.own_key or self.price is None else self.price.most(input_tokens, output_tokens)

    def charge(self, measured: Measured) -> int:
        """Return what a call cost, in nano-USD."""
        return 0 if self.price is None else self.price.charge(measured.usage(self.name, own_key=self.own_key))


async def open_targets(context: AgentContext, job: ClaimedJob, models: Sequence[str]) -> dict[str, BenchmarkTarget]:
    """Return the models by name. Raises UnknownModel for one that is no longer granted, ProviderUnknown, SecretUnreadable."""
    inputs = await read_run_inputs(context.pool, job.tenant_id, job_id=job.id, session_id=None, user_id=job.user_id)
    configuration = await context.configurations.get(job.tenant_id, inputs.version)
    catalog = await context.models.catalogs.at(job.models_version)
    own = {one.service: one for one in inputs.credentials}
    hosts = tuple(await context.models.egress.hosts(job.tenant_id, "providers")) if own else ()
    found: dict[str, BenchmarkTarget] = {}
    for model in models:
        if not configuration.may_use_model(model):
            raise UnknownModel(f"{model[:80]} is no longer granted to this tenant.", field="models")
        service = model.partition("/")[0]
        provider = (
            context.models.providers.get(service)
            if (key := own.get(service)) is None
            else context.models.tenant_providers.provider(
                TenantCredential(job.tenant_id, key.id, service, key.base_url, Sealed(key.key_id, key.sealed), hosts)
            )
        )
        found[model] = BenchmarkTarget(model, provider, key is not None, catalog.price(model))
    return found
