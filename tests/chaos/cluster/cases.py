"""Cases in which hosts of a cluster are cut off from one another, slowed down, and healed. Connections stay half open, as
nobody hears that they are gone (no RST). Streams and an ingestion are under way meanwhile, with the times that users have."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack

from tests.bench.reporting.percentiles import percentile
from tests.chaos.cluster.cluster import STREAMS, ClusterWorld
from tests.chaos.table import case, load_of
from tests.chaos.world import Load, World
from tests.conftest import make_tenant
from tests.journeys.client import event_types
from tests.journeys.documents.test_documents import count, letters

STREAM = "text-400-at-5"  # 80 s
JOBS, FILES = 100, 30
BEFORE_S, DURING_S = 8.0, 55.0
"""How long a fault lasts: longer than a lease, and than each time-out of the network that stands in the code."""


@case(60, "cluster: worker cut from stores", where="cluster")
async def worker_cut_from_stores(world: World, load: Load, scale: float) -> list[str]:
    """Its host still reaches the models: its attempts go on, and what they write gets nowhere."""
    cluster = of(world)
    return await play(cluster, load, scale, cluster.network.without("work1", "stores"))


@case(61, "cluster: API cut from stores", where="cluster")
async def api_cut_from_stores(world: World, load: Load, scale: float) -> list[str]:
    """It still takes the proxy's connections."""
    cluster = of(world)
    return await play(cluster, load, scale, cluster.network.without("api1", "stores"))


@case(62, "cluster: API cut from proxy", where="cluster")
async def api_cut_from_proxy(world: World, load: Load, scale: float) -> list[str]:
    cluster = of(world)
    return await play(cluster, load, scale, cluster.network.without("api1", "proxy"))


@case(63, "cluster: two hosts unplugged", where="cluster")
async def hosts_unplugged(world: World, load: Load, scale: float) -> list[str]:
    """An API's and a worker's at once."""
    cluster = of(world)
    return await play(cluster, load, scale, *(cluster.network.unplugged(host) for host in ("api2", "work2")))


@case(64, "cluster: stores slowed", where="cluster")
async def stores_slowed(world: World, load: Load, scale: float) -> list[str]:
    """Each answer of theirs takes 200 ms more."""
    cluster = of(world)
    return await play(cluster, load, scale, cluster.network.slowed("stores", 0.2))


@case(65, "cluster: stores heard by nobody", where="cluster")
async def stores_heard_by_nobody(world: World, load: Load, scale: float) -> list[str]:
    """What one worker and one API say arrives, and they get no answer."""
    cluster = of(world)
    return await play(cluster, load, scale, *(cluster.network.one_way("stores", host) for host in ("api1", "work1")))


@case(66, "cluster: a tenth is lost", where="cluster")
async def tenth_is_lost(world: World, load: Load, scale: float) -> list[str]:
    """Every tenth packet of the stores is lost on its way to a worker and an API."""
    cluster = of(world)
    lossy = (cluster.network.one_way("stores", host, percent=10) for host in ("api1", "work1"))
    return await play(cluster, load, scale, *lossy)


def of(world: World) -> ClusterWorld:
    assert isinstance(world, ClusterWorld)
    return world


async def play(world: ClusterWorld, load: Load, scale: float, *faults: AbstractContextManager[object]) -> list[str]:
    """Have streams and an ingestion under way, let faults be for a while, and wait for all of it."""
    clock = asyncio.get_running_loop().time
    async with (
        ingesting(world, int(FILES * scale) + 1) as wrong,
        load_of(world, load, JOBS * scale, STREAMS * scale, over_s=BEFORE_S / 2, long=STREAM),
    ):
        await asyncio.sleep(BEFORE_S)
        world.faults += 1
        with ExitStack() as broken:
            for fault in faults:
                broken.enter_context(fault)
            began = clock()
            await asyncio.sleep(DURING_S)
        healed = clock()
    world.notes.append(describe(load, began, healed))
    return wrong


@contextlib.asynccontextmanager
async def ingesting(world: ClusterWorld, files: int) -> AsyncIterator[list[str]]:
    """Ingest files meanwhile; at its end, the list says what is wrong with what came of them."""
    tenant, wrong = make_tenant(world.stores.database_url), list[str]()
    documents = Load(tenant)
    async with world.client(documents) as client:
        job_id = (await client.upload(letters(files)))["job_id"]
    task = asyncio.ensure_future(world.follow(documents, job_id))
    try:
        yield wrong
        told = await task
    finally:
        task.cancel()
    kinds = Counter(event_types(told.events))
    found = await asyncio.to_thread(count, world.stores.database_url, tenant)
    if (found["ready"], kinds["job.succeeded"]) != (files, 1) or found["drafts"] or found["chunks"] != found["vectors"]:
        wrong.append(f"of {files} files became {dict(found)}, and its stream said {dict(kinds)}")


def describe(load: Load, began: float, healed: float) -> str:
    """Return how the fault was felt: the longest silence of each stream, and what it took to go on."""
    silences, waited = list[float](), 0
    for told in load.readers:
        gaps = [(later - earlier, later) for earlier, later in zip(told.came_at, told.came_at[1:], strict=False)
                if later > began]  # fmt: skip
        longest_s, ended = max(gaps, default=(0.0, 0.0))
        silences.append(longest_s)
        waited += longest_s > (healed - began) / 2 and ended >= healed
    again = Counter(told.resumed for told in load.readers)
    return (
        f"longest silence of a stream: p50 {percentile(silences, 0.5):.1f} s, p95 {percentile(silences, 0.95):.1f} s, most "
        f"{max(silences):.1f} s; {waited} waited until it was healed; reconnected: "
        + ", ".join(f"{count} {times} times" for times, count in sorted(again.items()))
    )
