"""Sessions that headrace itself has archived (`workers/archive.py`): they come back as they were, under their ids."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from api.imports.conversations import Unknown
from schema.queries.sessions.archives import FORMAT, ArchivedSession


def is_archive(content: Any) -> bool:
    """Whether these are lines of an archive, or one."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and cast(dict[str, Any], first).get("format") == FORMAT


def read(content: Any) -> Iterator[ArchivedSession]:
    """Yield the sessions. Raises Unknown for a line that is none."""
    for number, line in enumerate(content if isinstance(content, list) else [content], 1):
        try:
            yield msgspec.convert(line, ArchivedSession)
        except msgspec.ValidationError as error:
            raise Unknown(f"line {number} is no archived session ({error})") from error
