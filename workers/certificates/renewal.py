"""Gets certificates by ACME and renews them, and tells before any certificate ends. The scheduler calls `keep` again and again;
any number of schedulers may, since each certificate is claimed by one of them.

    due ─► claim (10 min) ─► new key, request ─► order ─► checked ─► stored with its key ─► API processes see it within seconds
              └── failed ─► row and webhook say why ─► again after 5 min, 15 min, … 12 h
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from schema.errors import InputError, SecretUnreadable
from schema.ids import new_id
from schema.postgres.connections import Pool, tenant_tx
from schema.queries.certificates import acme, certificates
from schema.queries.certificates.certificates import Certificate
from schema.queries.tenants.audit import add_audit
from schema.queries.webhooks.outbox import announce
from schema.vault import PLATFORM, Sealed, Vault
from workers.certificates.checking import check_pair
from workers.certificates.expiry import due_warning, renew_at, serving
from workers.certificates.issuing import make_request
from workers.certificates.settings import AcmeSettings

if TYPE_CHECKING:
    from workers.certificates.acme_orders import Account

log = structlog.get_logger()

LEASE_S = 600.0
CHALLENGE_S = 900.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 300.0, 12 * 3600.0
STORE_S = 30.0

Result = TypeVar("Result")


class Renewals:
    """Keeps the certificates valid. `keep` returns how many webhook deliveries it wrote."""

    def __init__(self, pool: Pool, vault: Vault, settings: AcmeSettings) -> None:
        self._pool, self._vault, self._settings = pool, vault, settings

    async def keep(self) -> int:
        """Get one certificate that is due, if any, and tell of those that end. Raises Unavailable."""
        deliveries = await self.warn()
        async with tenant_tx(self._pool, PLATFORM) as db:
            claimed = await certificates.claim_due(db, lease_s=LEASE_S)
        return deliveries + (await self._renew(claimed) if claimed else 0)

    async def warn(self) -> int:
        """Tell once of each certificate at each threshold (`expiry.py`); return how many deliveries that made."""
        deliveries, now = 0, datetime.now(UTC)
        async with tenant_tx(self._pool, PLATFORM) as db:
            for one in serving(await certificates.list_certificates(db)):
                if one.not_before is None or one.not_after is None:
                    continue
                days = due_warning(one.not_before, one.not_after, now)
                if days is None or not await certificates.mark_warned(db, one, days=days):
                    continue
                log.warning("certificate_expiring", name=one.name, not_after=one.not_after.isoformat())
                deliveries += await announce(db, PLATFORM, "certificate.expiring", _about(one))
        return deliveries

    async def _renew(self, claimed: Certificate) -> int:
        from workers.certificates.acme_orders import AcmeFailed  # only who orders loads its library

        try:
            return await self._order(claimed)
        except (AcmeFailed, InputError, SecretUnreadable) as error:
            reason = str(error) if isinstance(error, AcmeFailed) else error.message
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 3 ** (claimed.tries - 1))
        log.warning("certificate_not_issued", name=claimed.name, tries=claimed.tries, reason=reason)
        async with tenant_tx(self._pool, PLATFORM) as db:
            if not await certificates.fail_renewal(db, claimed, error=reason, delay_s=pause_s):
                return 0
            return await self._tell(db, claimed, "certificate.failed", {"error": reason, "tries": claimed.tries})

    async def _order(self, claimed: Certificate) -> int:
        from workers.certificates.acme_orders import AcmeFailed, order

        account = await self._account()
        made = await asyncio.to_thread(make_request, claimed.names, kind="ecdsa_p256")
        loop = asyncio.get_running_loop()

        def store_answer(token: str, answer: str) -> None:
            asyncio.run_coroutine_threadsafe(self._store_answer(token, answer), loop).result(STORE_S)

        try:
            chain = await _apart(partial(order, self._settings, account, made.csr, store_answer))
        except AcmeFailed as failed:
            if not failed.forgotten:
                raise
            account = await self._account(anew=True)
            chain = await _apart(partial(order, self._settings, account, made.csr, store_answer))
        checked = await asyncio.to_thread(check_pair, chain, made.key)
        sealed = self._vault.seal(checked.key, tenant_id=PLATFORM, owner_id=claimed.id)
        due = renew_at(checked.not_before, checked.not_after)
        async with tenant_tx(self._pool, PLATFORM) as db:
            row = await certificates.replace_certificate(db, claimed, sealed=sealed, next_try_at=due, **checked.columns)
            if row is None:
                log.warning("certificate_changed_meanwhile", name=claimed.name)
                return 0
            log.info("certificate_issued", name=row.name, names=row.names, not_after=checked.not_after.isoformat())
            return await self._tell(db, row, "certificate.issued", {})

    async def _account(self, *, anew: bool = False) -> "Account":
        """Return our account, made at the authority if there is none."""
        from workers.certificates.acme_orders import Account, new_account_key, register

        directory = self._settings.directory
        async with tenant_tx(self._pool, PLATFORM) as db:
            stored = None if anew else await acme.find_account(db, directory)
        if stored is not None:
            sealed = Sealed(stored.key_id, stored.sealed)
            return Account(self._vault.open(sealed, tenant_id=PLATFORM, owner_id=stored.id), stored.account)
        key = await asyncio.to_thread(new_account_key)
        account = await _apart(partial(register, self._settings, Account(key)))
        account_id = new_id()
        sealed = self._vault.seal(key, tenant_id=PLATFORM, owner_id=account_id)
        async with tenant_tx(self._pool, PLATFORM) as db:
            await acme.put_account(db, account_id, directory, account.registered or {}, sealed)
        return account

    async def _store_answer(self, token: str, answer: str) -> None:
        async with tenant_tx(self._pool, PLATFORM) as db:
            await acme.add_challenge(db, token, answer, lasts_s=CHALLENGE_S)

    async def _tell(self, db: Any, row: Certificate, event: str, more: dict[str, Any]) -> int:
        await add_audit(db, PLATFORM, actor="system", action=event, target=row.name, detail=more | {"names": row.names})
        return await announce(db, PLATFORM, event, _about(row) | more)


def _about(row: Certificate) -> dict[str, Any]:
    until = row.not_after and row.not_after.isoformat(timespec="seconds")
    return {"certificate": row.name, "names": row.names, "not_after": until}


async def _apart(work: Callable[[], Result]) -> Result:
    """Run something that waits for minutes in a thread that no end of the process waits for."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is raised where it is waited for
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="acme", daemon=True).start()
    return await done
