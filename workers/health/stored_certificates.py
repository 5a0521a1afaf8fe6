"""The check of the certificates that the API serves TLS with: degraded when one ends soon, down when one has ended."""

from datetime import UTC, datetime

from schema.postgres.connections import Pool, system_tx
from schema.queries.certificates.certificates import WatchedCertificate, list_watched
from workers.certificates.expiry import DAY, days_left, serving, warn_from
from workers.health.checks import Finding, PartDown


async def find_stored_certificates(system_pool: Pool) -> Finding:
    """Look at the certificate of each name that ends last. Raises PartDown if one has ended."""
    async with system_tx(system_pool) as db:
        rows = await list_watched(db)
    return judge(rows, datetime.now(UTC))


def judge(rows: list[WatchedCertificate], now: datetime) -> Finding:
    """Return what is found of certificates at a moment. Raises PartDown."""
    ends = sorted((row.not_after, row.name) for row in serving(rows) if row.not_after)
    detail: dict[str, float] = {"certificates": len(rows)}
    if ends:
        detail["days_left"] = round(days_left(ends[0][0], now), 1)
    if ends and ends[0][0] <= now:
        raise PartDown(f"The certificate {ends[0][1]} expired on {ends[0][0]:%Y-%m-%d}.", detail=detail)
    near = [(row.not_after, row) for row in serving(rows) if _ends_soon(row, now)]
    if near:
        ending, first = min((end or now, row.name) for end, row in near)
        why = next((" It could not be renewed." for _, row in near if row.name == first and row.error), "")
        return Finding(detail, f"The certificate {first} ends in {(ending - now) // DAY} days.{why}")
    failing = next((row for row in rows if row.not_after is None and row.tries and row.error), None)
    return Finding(detail, f"No authority has issued the certificate {failing.name} yet." if failing else None)


def _ends_soon(row: WatchedCertificate, now: datetime) -> bool:
    return bool(row.not_before and row.not_after and now >= warn_from(row.not_before, row.not_after))
