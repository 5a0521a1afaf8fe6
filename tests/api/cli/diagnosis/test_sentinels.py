"""What doctor says of sentinels: who answers, who is the master, and whether another could be promoted."""

from collections.abc import Iterator

import pytest

from api.cli.diagnosis.findings import Finding
from api.cli.diagnosis.production import sentinel_password, store_url
from api.cli.diagnosis.sentinels import check_sentinels
from api.cli.diagnosis.servers import redis
from tests.sentinels import MASTER_NAME, WatchedValkey, watched_valkey
from workers.redis.address import RedisAddress


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedValkey]:
    with watched_valkey(tmp_path_factory.mktemp("watched")) as running:
        yield running


async def asked(url: str) -> list[Finding]:
    return await check_sentinels(RedisAddress.from_url(url))


def wrong(found: list[Finding]) -> list[str]:
    return [finding.state for finding in found if finding.advice]


async def test_sentinels_that_agree_and_could_promote_are_all_well(servers: WatchedValkey) -> None:
    found = await redis(servers.url)
    assert [] == wrong(found)
    states = [finding.state for finding in found]
    assert f"3 of 3 name 127.0.0.1:{servers.master_port} as the master" == states[0]
    assert ["are enough to promote another", "1 replicas follow the master"] == states[1:3]
    assert states[3].startswith("version valkey ")


async def test_a_wrong_name_and_a_wrong_password_are_told_apart(servers: WatchedValkey) -> None:
    found = await asked(servers.url.replace(f"/{MASTER_NAME}/", "/prime/"))
    watching = [f"127.0.0.1:{port} watches no master called prime" for port in servers.sentinel_ports]
    assert watching == wrong(found)
    (refused, *_) = wrong(await asked(servers.url.replace(servers.sentinel_password, "wrong")))
    assert refused.startswith(f"127.0.0.1:{servers.sentinel_ports[0]} refuses: WRONGPASS")
    assert servers.sentinel_password not in str(found)


async def test_sentinels_that_are_missing_are_named_and_too_few_promote_nobody(servers: WatchedValkey) -> None:
    lost = servers.sentinel_ports[:2]
    for port in lost:
        servers.kill_at(port)
    try:
        found = await asked(servers.url)
    finally:
        servers.start()
        servers.wait_whole()
    for port in lost:
        assert any(f"127.0.0.1:{port} can't be asked" in state for state in wrong(found))
    assert any(finding.state.startswith("1 of 3 name") for finding in found)


def test_a_url_of_sentinels_is_looked_at_as_those_of_servers_are() -> None:
    url = "redis+sentinel://:" + "a1b2c3d4e5f6a7b8" + "@10.0.0.1:26379,10.0.0.2:26379/mymaster"
    (plain,) = store_url("HEADRACE_REDIS_URL", url)
    assert "rediss+sentinel://" in plain.advice
    assert [] == list(store_url("HEADRACE_REDIS_URL", url.replace("redis+", "rediss+")))
    assert ["the sentinels of HEADRACE_REDIS_URL have none"] == wrong(list(sentinel_password(url)))
    assert [] == list(sentinel_password(f"{url}?sentinel_password=b1b2c3d4e5f6"))
