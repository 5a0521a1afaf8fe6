"""Certificates: written by platform admins and by whoever renews them, read by every API process that serves TLS."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_all, fetch_one
from schema.vault import Sealed

Origin = Literal["uploaded", "self_signed", "requested", "acme"]

COLUMNS = """id, name, origin, names, chain, csr, key_kind, issuer, fingerprint, not_before, not_after, tries, next_try_at,
  error, created_at, updated_at"""

ADD = f"""
INSERT INTO certificates (id, name, origin, names, chain, csr, key_id, sealed, key_kind, issuer, fingerprint, not_before,
  not_after, next_try_at)
VALUES (%(id)s, %(name)s, %(origin)s::text, %(names)s, %(chain)s, %(csr)s, %(key_id)s, %(sealed)s, %(key_kind)s, %(issuer)s,
  %(fingerprint)s, %(not_before)s, %(not_after)s, CASE WHEN %(origin)s::text = 'acme' THEN now() END)
ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}
"""

# The pair changes in one statement: no reader sees a certificate with the key of another.
REPLACE = f"""
UPDATE certificates SET origin = coalesce(%(origin)s::text, origin), names = %(names)s, chain = %(chain)s,
  csr = CASE WHEN %(key_id)s::text IS NULL THEN csr END, key_id = coalesce(%(key_id)s::text, key_id),
  sealed = coalesce(%(sealed)s::bytea, sealed), key_kind = %(key_kind)s, issuer = %(issuer)s, fingerprint = %(fingerprint)s,
  not_before = %(not_before)s, not_after = %(not_after)s, next_try_at = %(next_try_at)s::timestamptz, tries = 0, error = NULL,
  warned_days = NULL, updated_at = clock_timestamp()
WHERE id = %(id)s AND updated_at = %(was_updated_at)s RETURNING {COLUMNS}
"""

# The newest change alone would miss one that began before it and is committed after.
VERSION = """
SELECT coalesce(md5(string_agg(id::text || updated_at::text, ',' ORDER BY id)), '') AS version
FROM certificates WHERE chain IS NOT NULL
"""

# Whoever claims has ten minutes; if it dies, another tries again then.
CLAIM = f"""
UPDATE certificates SET next_try_at = now() + make_interval(secs => %(lease_s)s), tries = tries + 1
WHERE id = (SELECT id FROM certificates WHERE origin = 'acme' AND next_try_at <= now() ORDER BY next_try_at LIMIT 1
  FOR UPDATE SKIP LOCKED)
RETURNING {COLUMNS}
"""

FAIL = """
UPDATE certificates SET error = %(error)s, next_try_at = now() + make_interval(secs => %(delay_s)s)
WHERE id = %(id)s AND tries = %(tries)s RETURNING next_try_at
"""

WARN = """
UPDATE certificates SET warned_days = %(days)s WHERE id = %(id)s AND warned_days IS DISTINCT FROM %(days)s
  AND (warned_days IS NULL OR warned_days > %(days)s) AND not_after = %(not_after)s RETURNING id
"""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate without its private key."""

    id: UUID
    name: str
    origin: Origin
    names: list[str]
    chain: str | None
    csr: str | None
    key_kind: str
    issuer: str | None
    fingerprint: str | None
    not_before: datetime | None
    not_after: datetime | None
    tries: int
    next_try_at: datetime | None
    error: str | None
    created_at: datetime
    updated_at: datetime


class ServedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate that can be served, with its sealed key. Its `repr` shows the name alone."""

    id: UUID
    name: str
    origin: Origin
    names: list[str]
    chain: str
    key_id: str
    sealed: bytes
    not_after: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"ServedCertificate(name={self.name!r})"


class WatchedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog reads of a certificate."""

    id: UUID
    name: str
    origin: Origin
    names: list[str]
    not_before: datetime | None
    not_after: datetime | None
    tries: int
    error: str | None


async def list_certificates(db: Db) -> list[Certificate]:
    """Return all of them, by name."""
    return await fetch_all(db, f"SELECT {COLUMNS} FROM certificates ORDER BY name", {}, into=Certificate)


async def find_certificate(db: Db, name: str) -> Certificate | None:
    """Return the one with this name, None if there is none."""
    sql = f"SELECT {COLUMNS} FROM certificates WHERE name = %(name)s"
    return await fetch_one(db, sql, {"name": name}, into=Certificate)


async def read_sealed_key(db: Db, certificate_id: UUID) -> Sealed:
    """Return the sealed private key of a certificate that is there."""
    row = await fetch_one(
        db, "SELECT key_id, sealed FROM certificates WHERE id = %(id)s FOR UPDATE", {"id": certificate_id}
    )
    assert row is not None
    return Sealed(row["key_id"], row["sealed"])


async def add_certificate(
    db: Db, certificate_id: UUID, *, name: str, origin: Origin, sealed: Sealed, **values: Any
) -> Certificate | None:
    """Insert one; None if the name is taken. `values`: `names`, `key_kind`, `chain` and what it says, `csr`."""
    unset = dict.fromkeys(("chain", "csr", "issuer", "fingerprint", "not_before", "not_after"))
    row = unset | values | {"id": certificate_id, "name": name, "origin": origin, "names": Jsonb(values["names"])}
    row |= {"key_id": sealed.key_id, "sealed": sealed.sealed}
    return await fetch_one(db, ADD, row, into=Certificate)


async def replace_certificate(
    db: Db,
    was: Certificate,
    *,
    origin: Origin | None = None,
    sealed: Sealed | None = None,
    next_try_at: datetime | None = None,
    **values: Any,
) -> Certificate | None:
    """Give a certificate another chain, with another key unless `sealed` is None; None if it was changed or deleted since it
    was read."""
    row = values | {"id": was.id, "origin": origin, "names": Jsonb(values["names"]), "next_try_at": next_try_at}
    row |= {"key_id": sealed and sealed.key_id, "sealed": sealed and sealed.sealed, "was_updated_at": was.updated_at}
    return await fetch_one(db, REPLACE, row, into=Certificate)


async def renew_now(db: Db, name: str) -> Certificate | None:
    """Let the certificate authority be asked for this one at once; None if it isn't one of theirs."""
    sql = f"""UPDATE certificates SET next_try_at = now(), tries = 0 WHERE name = %(name)s AND origin = 'acme'
      RETURNING {COLUMNS}"""
    return await fetch_one(db, sql, {"name": name}, into=Certificate)


async def delete_certificate(db: Db, name: str) -> bool:
    """Delete one with its key; False if there is none."""
    sql = "DELETE FROM certificates WHERE name = %(name)s RETURNING id"
    return await fetch_one(db, sql, {"name": name}) is not None


async def read_version(db: Db) -> str:
    """Return what changes whenever a certificate that can be served does."""
    row = await fetch_one(db, VERSION, {})
    return row["version"] if row else ""


async def list_served(db: Db) -> list[ServedCertificate]:
    """Return those that can be served, the oldest first."""
    sql = """SELECT id, name, origin, names, chain, key_id, sealed, not_after, updated_at FROM certificates
      WHERE chain IS NOT NULL ORDER BY created_at, id"""
    return await fetch_all(db, sql, {}, into=ServedCertificate)


async def list_watched(db: Db) -> list[WatchedCertificate]:
    """Return all of them as the system sees them, by name."""
    sql = "SELECT id, name, origin, names, not_before, not_after, tries, error FROM certificates ORDER BY name"
    return await fetch_all(db, sql, {}, into=WatchedCertificate)


async def claim_due(db: Db, *, lease_s: float) -> Certificate | None:
    """Claim one that a certificate authority is to be asked for, for so long; None if none is due. Its `tries` counts this
    one."""
    return await fetch_one(db, CLAIM, {"lease_s": lease_s}, into=Certificate)


async def fail_renewal(db: Db, claimed: Certificate, *, error: str, delay_s: float) -> bool:
    """Note why it could not be had, and when to try again; False if somebody else has it now."""
    values = {"id": claimed.id, "tries": claimed.tries, "error": error, "delay_s": delay_s}
    return await fetch_one(db, FAIL, values) is not None


async def mark_warned(db: Db, certificate: Certificate, *, days: int) -> bool:
    """Note that its end was told, so many days before; False if it was before."""
    values = {"id": certificate.id, "days": days, "not_after": certificate.not_after}
    return await fetch_one(db, WARN, values) is not None
