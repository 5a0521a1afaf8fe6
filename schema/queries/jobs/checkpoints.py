"""Writing a checkpoint of LangGraph with other statements, in one transaction: the saver of langgraph-checkpoint-postgres only
writes it alone. The tables, and everything that reads them, are that package's (`schema/tables/jobs/checkpoints.py`)."""

from typing import Any

import msgspec

from schema.postgres.batch import Statement
from schema.storable import storable_json

PUT_CHECKPOINT = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
VALUES (%(thread_id)s, %(namespace)s, %(id)s, %(parent_id)s, %(checkpoint)s::jsonb, %(metadata)s::jsonb)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata
"""
PUT_BLOBS = """
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT %(thread_id)s, %(namespace)s, channel, version, type, blob
FROM unnest(%(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[])
  AS b (channel, version, type, blob)
ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
"""


class NewCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as it is stored. `blobs` are the values that are not plain: channel, version, type, bytes."""

    thread_id: str
    namespace: str
    id: str
    parent_id: str | None
    checkpoint: dict[str, Any]
    metadata: dict[str, Any]
    blobs: list[tuple[str, str, str, bytes]]


def put_checkpoint(new: NewCheckpoint) -> list[Statement]:
    """Return the statements that store a checkpoint; repeating them changes nothing."""
    where = {"thread_id": new.thread_id, "namespace": new.namespace}
    channels, versions, types, blobs = ([blob[part] for blob in new.blobs] for part in range(4))
    values = where | {"id": new.id, "parent_id": new.parent_id}
    values |= {"checkpoint": storable_json(new.checkpoint), "metadata": storable_json(new.metadata)}
    return [
        (PUT_BLOBS, {**where, "channels": channels, "versions": versions, "types": types, "blobs": blobs}),
        (PUT_CHECKPOINT, values),
    ]
