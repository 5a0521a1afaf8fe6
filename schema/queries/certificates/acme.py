"""What getting certificates by ACME keeps: our accounts, and the answers that the API gives to a certificate authority."""

from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from schema.postgres.connections import Db, fetch_one
from schema.vault import Sealed


class AcmeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account at a certificate authority, as its library writes it, with the sealed key."""

    id: UUID
    account: dict[str, Any]
    key_id: str
    sealed: bytes

    def __repr__(self) -> str:
        return f"AcmeAccount(id={self.id})"


async def find_account(db: Db, directory: str) -> AcmeAccount | None:
    """Return our account at the authority with this directory."""
    sql = "SELECT id, account, key_id, sealed FROM acme_accounts WHERE directory = %(directory)s"
    return await fetch_one(db, sql, {"directory": directory}, into=AcmeAccount)


async def put_account(db: Db, account_id: UUID, directory: str, account: dict[str, Any], sealed: Sealed) -> None:
    """Store an account, in place of one that the authority has forgotten."""
    sql = """INSERT INTO acme_accounts (id, directory, account, key_id, sealed)
      VALUES (%(id)s, %(directory)s, %(account)s, %(key_id)s, %(sealed)s)
      ON CONFLICT (directory) DO UPDATE SET id = excluded.id, account = excluded.account, key_id = excluded.key_id,
        sealed = excluded.sealed"""
    values = {"id": account_id, "directory": directory, "account": Jsonb(account)}
    await db.execute(sql, values | {"key_id": sealed.key_id, "sealed": sealed.sealed})


async def add_challenge(db: Db, token: str, answer: str, *, lasts_s: float) -> None:
    """Let the API answer for a token, and forget those whose time is over."""
    await db.execute("DELETE FROM acme_challenges WHERE expires_at < now()")
    sql = """INSERT INTO acme_challenges (token, answer, expires_at)
      VALUES (%(token)s, %(answer)s, now() + make_interval(secs => %(lasts_s)s))
      ON CONFLICT (token) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at"""
    await db.execute(sql, {"token": token, "answer": answer, "lasts_s": lasts_s})


async def find_answer(db: Db, token: str) -> str | None:
    """Return what to answer for a token, None if it isn't ours or its time is over."""
    sql = "SELECT answer FROM acme_challenges WHERE token = %(token)s AND expires_at > now()"
    row = await fetch_one(db, sql, {"token": token})
    return row["answer"] if row else None
