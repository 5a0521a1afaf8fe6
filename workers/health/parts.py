"""The parts of an installation, each with its check: what the scheduler's watchdog looks at."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from schema.postgres.connections import Pool, system_tx
from schema.queries.health.figures import read_delivery_figures
from schema.queries.tenants.performance import read_response_times
from schema.vault import PLATFORM
from workers.amqp.address import QUEUE_ARGUMENTS
from workers.amqp.publisher import AmqpPublisher, BrokerUnavailable
from workers.health.backlog import BacklogFigures
from workers.health.certificates import CertificateCheck, Served
from workers.health.checks import Finding, NoData, NotSubscribed, PartDown, check_routing, check_storage
from workers.health.healing_audit import HealingAudit, Reconnections
from workers.health.processes import ProcessChecks, QueueCheck
from workers.health.providers import ProviderWatch, find_embedder
from workers.health.reports import living, read_reports
from workers.health.settings import HealthSettings
from workers.health.stored_certificates import find_stored_certificates
from workers.health.stores import RedisCheck, find_disk, find_memory, find_postgres
from workers.health.watch import Part
from workers.redis.client import RedisClient
from workers.storage.contract import Storage, new_name
from workers.stream.hub import Hub

POSTGRES, REDIS = "postgres", "redis"
BOTH = (POSTGRES, REDIS)
OVERDUE_S, FAILING_S = 30.0, 60.0
DELIVERERS = "default"
MIN_FAILING = 2
MIN_READS = 20


@dataclass(frozen=True)
class WatchDependencies:
    """What the checks need of the scheduler. `pool` sees one tenant at a time; `folder` is on the disk that is looked at;
    `after_s` is when a doorbell is rung again."""

    pool: Pool
    system_pool: Pool
    redis: RedisClient
    hub: Hub
    storage: Storage
    folder: Path
    backlog: BacklogFigures
    providers: ProviderWatch
    audit: HealingAudit
    reconnections: Reconnections
    settings: HealthSettings
    served: list[Served]
    after_s: float
    broker: AmqpPublisher | None = None
    """The RabbitMQ that carries doorbells, if Redis doesn't."""


def all_parts(of: WatchDependencies) -> dict[str, Part]:
    """Return every part by its name."""
    file, subscription = new_name(PLATFORM), SubscriptionCheck(of)
    processes = ProcessChecks(of.redis, of.system_pool, of.settings, after_s=of.after_s)
    queues = QueueCheck(of.backlog, of.system_pool, of.settings, after_s=of.after_s)

    async def postgres() -> Finding:
        return await find_postgres(of.pool, of.system_pool, of.settings)

    met = CertificateCheck(of.served, of.settings)

    async def storage() -> None:
        await check_storage(of.storage, file)

    async def routing() -> None:
        await check_routing(of.redis)

    return {
        POSTGRES: Part(of.reconnections.noting(POSTGRES, postgres)),
        REDIS: Part(of.reconnections.noting(REDIS, subscription.find)),
        "storage": Part(storage),
        **({"broker": Part(partial(find_broker, of.broker))} if of.broker is not None else {}),
        "workers": Part(processes.find_workers, depends_on=BOTH),
        "event_loops": Part(processes.find_loops, depends_on=(REDIS,)),
        "queues": Part(queues.find, depends_on=(POSTGRES,)),
        "routing": Part(routing, depends_on=(REDIS,)),
        "embedder": Part(lambda: find_embedder(of.redis), depends_on=(REDIS,)),
        "responses": Part(lambda: find_responses(of.system_pool, of.settings), depends_on=(POSTGRES,)),
        "webhooks": Part(lambda: find_webhooks(of.redis, of.system_pool), depends_on=BOTH),
        "disk": Part(lambda: find_disk(of.folder, of.settings)),
        "memory": Part(lambda: find_memory(of.settings)),
        "clocks": Part(processes.find_clocks, depends_on=BOTH),
        "certificates": Part(partial(find_certificates, of.system_pool, met), depends_on=(POSTGRES,)),
        **of.providers.parts(),
    }


async def find_broker(broker: AmqpPublisher) -> Finding:
    """Count the doorbells that wait in RabbitMQ; degraded if a queue drops some. Raises PartDown if it doesn't answer."""
    try:
        waiting = await broker.count_waiting()
    except BrokerUnavailable:
        raise PartDown("RabbitMQ can't be reached, or refuses us.") from None
    full = [queue for queue, count in waiting.items() if count >= QUEUE_ARGUMENTS["x-max-length"]]
    return Finding(waiting, f"More doorbells wait in {full[0]} than it holds; they are rung again." if full else None)


class SubscriptionCheck:
    """Checks Redis, and renews this process's subscription if it is lost without a word."""

    def __init__(self, of: WatchDependencies) -> None:
        self._redis, self._hub, self._audit = RedisCheck(of.redis, of.hub.inbox, of.settings), of.hub, of.audit
        self._lost = 0

    async def find(self) -> Finding:
        """Raises NotSubscribed, and at the second time in a row subscribes again."""
        try:
            found = await self._redis.find()
        except NotSubscribed:
            self._lost += 1
            if self._lost == 2:
                self._hub.resubscribe()
                await self._audit.record("subscription.renewed", "scheduler")
            raise
        self._lost = 0
        return found


async def find_responses(system_pool: Pool, settings: HealthSettings) -> Finding:
    """Degraded if reads of the last minutes were slow. Raises NoData if there were few."""
    async with system_tx(system_pool) as db:
        found = await read_response_times(db)
    reads, p95_s = sum(found.times["time"].values()), found.percentile("time", 0.95) or 0.0
    detail = {"reads": reads, "p95_ms": round(1000 * p95_s, 1)}
    if reads < MIN_READS:
        raise NoData(detail)
    return Finding(detail, f"Reads take {p95_s:.1f} s (p95)." if p95_s > settings.response_s else None)


async def find_webhooks(redis: RedisClient, system_pool: Pool) -> Finding:
    """Raises PartDown if webhooks are due and nobody sends them; degraded if many receivers keep failing."""
    async with system_tx(system_pool) as db:
        figures = await read_delivery_figures(db, failing_s=FAILING_S)
    detail = {
        "endpoints": figures.endpoints,
        "failing": figures.failing,
        "overdue_s": round(max(0.0, figures.overdue_s), 1),
    }
    if figures.overdue_s > OVERDUE_S:
        now, reports = await read_reports(redis)
        if not any(report.queue and report.queue.queue == DELIVERERS for report in living(now, reports)):
            raise PartDown("Webhooks are due, and no worker delivers them.", lasted_s=figures.overdue_s, detail=detail)
    if figures.failing >= MIN_FAILING and 2 * figures.failing >= figures.endpoints:
        return Finding(detail, f"{figures.failing} of {figures.endpoints} endpoints keep failing.", FAILING_S)
    return Finding(detail)


async def find_certificates(system_pool: Pool, met: CertificateCheck) -> Finding:
    """Look at the certificates that the API serves, and at those that are met where clients connect. Raises PartDown, and
    NoData if there are none."""
    stored = await find_stored_certificates(system_pool)
    try:
        found = await met.find()
    except NoData:
        if stored.detail["certificates"]:
            return stored
        raise
    return Finding({**stored.detail, **found.detail}, stored.trouble or found.trouble)
