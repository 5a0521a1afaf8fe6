"""Ids of files that are kept for clients, as OpenAI's API has them: `file-` and the id without hyphens."""

from uuid import UUID

from schema.errors import NotFound

PREFIX = "file-"


def write_file_id(file_id: UUID) -> str:
    """Return an id as clients see it."""
    return f"{PREFIX}{file_id.hex}"


def parse_file_id(file_id: str, field: str | None = None) -> UUID:
    """Return the id as it is stored. Raises NotFound for one that can't be any file's."""
    try:
        wanted = UUID(hex=file_id.removeprefix(PREFIX))
    except ValueError:
        raise no_file(file_id, field) from None
    if file_id != write_file_id(wanted):
        raise no_file(file_id, field)
    return wanted


def no_file(file_id: str, field: str | None = None) -> NotFound:
    """Return the error for a file that the caller doesn't have."""
    return NotFound(f"No such file: {file_id[:80]!r}. GET /v1/files lists them.", field=field)
