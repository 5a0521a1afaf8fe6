"""Which files there are to import, and which reader understands one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from api.local.errors import LocalError
from api.local.imports import open_webui, session_files
from api.local.imports.conversations import Conversation, Unknown

MAX_BYTES = 1_000_000_000
MAX_SHOWN = 10


def read_all(path: Path, left_out: Counter[str]) -> list[Conversation]:
    """Return the conversations of a file, or of all `.json` files in a folder and below; what is left out of them is counted.
    Raises LocalError that names every file which can't be read."""
    files = sorted(each for each in path.rglob("*.json") if each.is_file()) if path.is_dir() else [path]
    if not files:
        raise LocalError(f"There are no .json files in {path}.")
    found, problems = list[Conversation](), list[str]()
    for file in files:
        try:
            name = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else file.stem
            found += _read(file, name, left_out)
        except (Unknown, OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            problems.append(f"  {file}: {error.strerror if isinstance(error, OSError) else _told(error)}")
    if problems:
        more = [f"  and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else []
        shown = "\n".join([*problems[:MAX_SHOWN], *more])
        raise LocalError(
            f"Nothing was imported, as {len(problems)} files hold no conversations that can be read:\n{shown}"
        )
    return list(_once(found, left_out))


def _once(found: Iterable[Conversation], left_out: Counter[str]) -> Iterator[Conversation]:
    """Leave out what stands in the files twice. Raises LocalError for two conversations that are known by the same."""
    seen = dict[tuple[Any, ...], Conversation]()
    for each in found:
        before = seen.setdefault(each.key, each)
        if before is each:
            yield each
        elif before == each:
            left_out["conversations that stand there twice"] += 1
        else:
            raise LocalError(
                f"Nothing was imported, as two different conversations have the id {each.id[:60]!r} and begin at the same "
                "moment. Give one another id."
            )


def _read(file: Path, name: str, left_out: Counter[str]) -> Iterator[Conversation]:
    if file.stat().st_size > MAX_BYTES:
        raise Unknown(f"it is larger than {MAX_BYTES / 1e6:,.0f} MB; split it")
    content = msgspec.json.decode(file.read_bytes())
    yield from (open_webui.read if open_webui.is_export(content) else session_files.read)(content, name, left_out)


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) if isinstance(error, Unknown) else f"it is no JSON ({error})"
