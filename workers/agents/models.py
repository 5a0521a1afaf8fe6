"""The models that an agent may use, in the order in which they are tried."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from graphs.agents.contract import AgentSpec
from graphs.providers.capabilities import Capabilities, capabilities
from graphs.providers.contract import Provider
from graphs.providers.fallback import ChainModel
from graphs.providers.prompted_tools.provider import NativeOrPromptedTools
from graphs.providers.tenant_providers import TenantCredential
from graphs.providers.windows import with_window
from schema.errors import HeadraceError, ProviderError
from schema.model_catalog.catalog import Catalog
from schema.queries.agents.agent_config import ProviderCredential
from schema.vault import Sealed
from workers.agents.configuration import Configuration
from workers.agents.context import ModelContext
from workers.agents.text_only import TextOnlyProvider


class Models:
    """The models of one job. `default` is the job's; with `asked_for` the request named it, and it comes first. With
    `own_keys_only`, only those that the tenant has a provider key of its own for: no money was reserved for others.
    `catalog` is what is known of models, `hosts` are the private ones that the tenant was granted for its providers.
    `saw_no_images` has the models that were asked about images and not shown them."""

    def __init__(
        self,
        context: ModelContext,
        tenant_id: UUID,
        configuration: Configuration,
        credentials: Sequence[ProviderCredential],
        *,
        catalog: Catalog,
        default: str,
        asked_for: bool,
        own_keys_only: bool = False,
        hosts: Sequence[str] = (),
    ) -> None:
        self._context, self._tenant_id, self._configuration = context, tenant_id, configuration
        self._catalog = catalog
        self._default, self._asked_for, self._own_keys_only = default, asked_for, own_keys_only
        self.saw_no_images = set[str]()
        self._credentials: Mapping[str, TenantCredential] = {
            own.service: TenantCredential(
                tenant_id, own.id, own.service, own.base_url, Sealed(own.key_id, own.sealed), tuple(hosts)
            )
            for own in credentials
        }
        self._known: dict[str, Capabilities] = {}

    async def chain(self, agent: AgentSpec) -> list[ChainModel]:
        """Return the candidates for an agent, at least one; those of providers that fail come last. Raises ProviderError,
        SecretUnreadable if none can be built."""
        candidates: list[ChainModel] = []
        failure: ProviderError | None = None
        for name in self._names(agent):
            try:
                candidates.append(await self._candidate(name))
            except ProviderError as error:
                failure = error
        if not candidates and failure is not None:
            raise failure
        avoided = self._context.avoided()
        return sorted(candidates, key=lambda one: not one.own_key and one.full_name.partition("/")[0] in avoided)

    async def window(self) -> int | None:
        """Return how many tokens the job's model reads; None if nobody says."""
        row = self._catalog.find(self._default)
        if row is not None and row.context_tokens is not None:
            return row.context_tokens
        try:
            return (await self._capabilities(self._default)).context_tokens
        except HeadraceError:
            return None  # calling it will show what is wrong

    def _names(self, agent: AgentSpec) -> list[str]:
        """Return full names without duplicates: granted models, and the job's own, which was granted when submitted."""
        first = [self._default] if self._asked_for or not agent.models else []
        names = [*first, *(() if self._asked_for else agent.models)]
        for name in list(names):
            known = self._catalog.find(name)
            names += (known.fallbacks or []) if known is not None else []
        may = [n for n in names if n == self._default or self._configuration.may_use_model(n)]
        if self._own_keys_only:
            may = [n for n in may if n.partition("/")[0] in self._credentials]
        return list(dict.fromkeys(may)) or [self._default]

    async def _candidate(self, full_name: str) -> ChainModel:
        service, _, name = full_name.partition("/")
        provider = self._provider(service)
        can = await self._capabilities(full_name)
        shown = provider if can.images else TextOnlyProvider(provider, lambda: self.saw_no_images.add(full_name))
        seen = with_window(shown, can.context_tokens)
        wrapped = NativeOrPromptedTools(seen, native=can.tools)
        own = service in self._credentials
        return ChainModel(wrapped, name, full_name, f"{self._tenant_id if own else ''}/{service}", own_key=own)

    async def _capabilities(self, full_name: str) -> Capabilities:
        """Return what a model can do: asked for once in a job."""
        if (known := self._known.get(full_name)) is not None:
            return known
        service, _, name = full_name.partition("/")
        row = self._catalog.find(full_name)
        stated = {"tools": row.tools, "images": row.images, "context_tokens": row.context_tokens} if row else None
        found = self._known[full_name] = await capabilities(self._provider(service), name, stated)
        return found

    def _provider(self, service: str) -> Provider:
        own = self._credentials.get(service)
        return self._context.providers.get(service) if own is None else self._context.tenant_providers.provider(own)
