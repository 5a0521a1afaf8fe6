"""The models that a benchmark calls: providers with the right keys, and prices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphs.providers.contract import Provider
from graphs.providers.tenant_providers import TenantCredential
from schema.errors import UnknownModel
from schema.postgres.connections import tenant_tx
from schema.queries.agents.agent_config import read_run_inputs
from schema.queries.benchmarks.benchmarks import list_prices
from schema.queries.jobs.attempts import ClaimedJob
from schema.vault import Sealed
from workers.agents.context import AgentContext


@dataclass(frozen=True)
class BenchmarkTarget:
    """A model to call. `own_key`: with the tenant's own provider key, so it costs nothing here. Prices are in US dollars
    per million tokens."""

    name: str
    provider: Provider
    own_key: bool
    input_usd: float = 0.0
    output_usd: float = 0.0

    def cost_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """Return what a call costs, in nano-USD, rounded up."""
        usd = input_tokens * self.input_usd + output_tokens * self.output_usd
        return 0 if self.own_key else math.ceil(1000 * usd)


async def open_targets(context: AgentContext, job: ClaimedJob, models: Sequence[str]) -> dict[str, BenchmarkTarget]:
    """Return the models by name. Raises UnknownModel for one that is no longer granted, ProviderUnknown, SecretUnreadable."""
    inputs = await read_run_inputs(context.pool, job.tenant_id, job_id=job.id, session_id=None, user_id=job.user_id)
    configuration = await context.configurations.get(job.tenant_id, inputs.version)
    async with tenant_tx(context.pool, job.tenant_id) as db:
        prices = {price.name: price for price in await list_prices(db, models)}
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
        price = prices.get(model)
        usd = (price.input_usd, price.output_usd) if price else (0.0, 0.0)
        found[model] = BenchmarkTarget(model, provider, key is not None, *usd)
    return found
