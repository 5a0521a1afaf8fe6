"""What tests of uploading share: forms, zips, what lies in the storage and in the tables."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg.rows import dict_row

from workers.uploads.limits import UploadLimits

LIMITS = UploadLimits(max_file=200_000, max_upload=1_000_000, max_files=600, max_urls=5)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"


def files(*named: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """Return what httpx sends as the parts of a form."""
    return [("file", (name, content)) for name, content in named]


async def upload(
    api: httpx.AsyncClient, *named: tuple[str, bytes], headers: Mapping[str, str] | None = None, **fields: Any
) -> httpx.Response:
    """Upload files with these fields."""
    return await api.post("/api/documents", files=files(*named), data=fields, headers=headers)


def zipped(members: Mapping[str, bytes], *, stored: bool = False) -> bytes:
    """Return a zip of these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def stored(folder: Path, tenant_id: UUID) -> dict[str, bytes]:
    """Return what the storage holds of a tenant, by name."""
    paths = [path for path in folder.glob(f"{tenant_id}/*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def under_way(folder: Path) -> list[str]:
    """Return the files that are not whole, or whole and not put yet."""
    return [path.name for path in (folder / "incoming").glob("*/*/*")]


def rows(database_url: str, sql: str, *values: Any) -> list[dict[str, Any]]:
    with psycopg.connect(database_url, row_factory=dict_row) as db:
        return db.execute(sql, values).fetchall()


def change(database_url: str, sql: str, *values: Any) -> None:
    with psycopg.connect(database_url) as db:
        db.execute(sql, values)


def versions(database_url: str, tenant_id: UUID) -> list[dict[str, Any]]:
    """Return a tenant's versions with their documents, in the order of their jobs and places."""
    return rows(
        database_url,
        """SELECT d.id, d.name, d.user_id, d.metadata, d.source_url, d.created_by, c.name AS collection, c.embedder,
          c.chunk_characters, c.chunk_overlap, v.version, v.job_id, v.place, v.state, v.stored_as, v.size_bytes, v.sha256,
          v.media_type FROM document_versions v JOIN documents d ON d.id = v.document_id
          JOIN collections c ON c.id = d.collection_id WHERE v.tenant_id = %s ORDER BY v.job_id, v.place""",
        tenant_id,
    )


def notes(database_url: str, tenant_id: UUID) -> list[str]:
    return [
        r["stored_as"]
        for r in rows(database_url, "SELECT stored_as FROM file_removals WHERE tenant_id = %s", tenant_id)
    ]
