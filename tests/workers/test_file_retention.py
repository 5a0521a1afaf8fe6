"""Files that clients keep here go when their time is over."""

from datetime import UTC, datetime, timedelta

from tests.conftest import TestTenant
from tests.workers.jobs import rows
from tests.workers.retained_rows import add_file, sweeping
from workers.queue.job_core import JobCore


async def test_files_whose_time_is_over_go_with_their_bytes(
    core: JobCore, database_url: str, tenant: TestTenant
) -> None:
    now = datetime.now(UTC)
    for stored_as, expires_at in (
        ("old", now - timedelta(seconds=1)),
        ("new", now + timedelta(hours=1)),
        ("kept", None),
    ):
        add_file(database_url, tenant, stored_as=stored_as, expires_at=expires_at)
    async with sweeping(core, database_url, core.limits) as retention:
        await retention.sweep()
    left = rows(database_url, "SELECT stored_as FROM files WHERE tenant_id = %s", tenant.id)
    noted = rows(database_url, "SELECT stored_as FROM file_removals WHERE tenant_id = %s", tenant.id)
    assert ({"new", "kept"}, {"old"}) == ({row["stored_as"] for row in left}, {row["stored_as"] for row in noted})
