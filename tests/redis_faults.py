"""Ways in which a Redis that runs refuses every write, as after a failover, on a full machine or on a full disk."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import redis

from tests.sentinels import connect
from tests.waiting import wait_for

Fault = Literal["demoted", "full", "cannot save"]
FAULTS: tuple[Fault, ...] = ("demoted", "full", "cannot save")


@contextlib.asynccontextmanager
async def refusing_writes(redis_url: str, fault: Fault, *, primary: tuple[str, int]) -> AsyncIterator[None]:
    """Have Redis refuse writes in the body; one that is demoted follows `primary`, where nothing has to be."""
    with connect(redis_url, decode_responses=True) as db:
        blocked = Path(db.config_get("dir")["dir"]) / db.config_get("dbfilename")["dbfilename"]
        try:
            _break(db, fault, primary, blocked)
            await wait_for(lambda: _refuses(db), f"Redis was {fault}")
            yield
        finally:
            _mend(db, fault, blocked)


def _break(db: redis.Redis, fault: Fault, primary: tuple[str, int], blocked: Path) -> None:
    if fault == "demoted":
        db.replicaof(*primary)
    elif fault == "full":
        db.config_set("maxmemory", "1mb")
    else:
        blocked.unlink(missing_ok=True)
        blocked.mkdir()
        db.config_set("save", "1 1")
        with contextlib.suppress(redis.ResponseError):
            db.bgsave()


def _mend(db: redis.Redis, fault: Fault, blocked: Path) -> None:
    if fault == "demoted":
        db.replicaof("NO", "ONE")
    elif fault == "full":
        db.config_set("maxmemory", "0")
    else:
        db.config_set("save", "")
        blocked.rmdir()


def _refuses(db: redis.Redis) -> bool:
    try:
        db.set("headrace-test", 1)
    except redis.ResponseError:
        return True
    return False
