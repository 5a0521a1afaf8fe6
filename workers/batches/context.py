"""What batches need of their worker process."""

from dataclasses import dataclass

from schema.postgres.connections import Pool
from workers.redis.client import RedisClient
from workers.storage.contract import Storage


@dataclass(frozen=True)
class BatchContext:
    """`pool` sees one tenant at a time; `redis` carries the doorbells of lines; `storage` has the files."""

    pool: Pool
    redis: RedisClient
    storage: Storage
