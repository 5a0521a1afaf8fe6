"""JSON and JSON lines, made readable: "address.city: Hanoi". Each object of a list becomes a text of its own, so that it can be
found and cited alone. Numbers are kept as they are written."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import text_of

DEEPEST = 12
MAX_ONE_LINE = 300
TITLES = ("title", "name", "id")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    gathering = BlockCollector(options.max_characters)
    text = text_of(file, options, gathering, times=4).lstrip("\ufeff")
    try:
        _add(_parsed(text, gathering), "", 0, gathering)
    except RecursionError as error:
        raise Unreadable("too_large", "The JSON is nested too deep to be read; make it flatter.") from error
    return gathering.done()


def _loaded(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _parsed(text: str, gathering: BlockCollector) -> Any:
    """The value, or a list of the values of JSON lines."""
    try:
        return _loaded(text)
    except ValueError as error:
        values, bad = [], 0
        for line in text.splitlines():
            try:
                values += [_loaded(line)] if line.strip() else []
            except ValueError:
                bad += 1
        if not values or bad > len(values) or not any(isinstance(value, dict | list) for value in values):
            raise Unreadable(
                "damaged", f"The file is no JSON: {str(error)[:100]}. Mend it and upload it again."
            ) from error
        if bad:
            gathering.note(
                f"{bad} {'line is' if bad == 1 else 'lines are'} no JSON and {'was' if bad == 1 else 'were'} left out."
            )
        return values


def _add(value: Any, path: str, depth: int, gathering: BlockCollector) -> None:
    """Add an object or a list: what is plain in it as one text, lists of objects below a heading of their own."""
    if isinstance(value, list):
        if not any(isinstance(item, dict | list) for item in value):
            gathering.add("text", "\n".join(map(_plain, value)))
            return
        for item in value:
            gathering.add("text", "\n".join(_lines(item, "", depth)))
    elif isinstance(value, dict):
        lists = {key: item for key, item in value.items() if depth < DEEPEST and _is_records(item)}
        rest = {key: item for key, item in value.items() if key not in lists}
        gathering.add("text", "\n".join(_lines(rest, "", depth)))
        for key, records in lists.items():
            full = f"{path}.{key}" if path else key
            gathering.add_heading(full, depth + 1)
            _add(records, full, depth + 1, gathering)
    else:
        gathering.add("text", _plain(value))


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) for item in value)


def _lines(value: Any, path: str, depth: int) -> Iterator[str]:
    """ "key: value" for each plain value; a short list of plain values on one line."""
    if isinstance(value, dict) and value and depth < DEEPEST:
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list) and depth < DEEPEST and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, 1):
            yield from _lines(item, f"{path}[{number}]", depth + 1)
    elif isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        yield from _short_list([_plain(item) for item in value], path)
    elif value is not None and value != {}:
        text = _plain(value)
        yield f"{path}: {text}" if path else text


def _short_list(items: list[str], path: str) -> Iterator[str]:
    joined = ", ".join(items)
    if len(joined) <= MAX_ONE_LINE:
        if joined:
            yield f"{path}: {joined}" if path else joined
        return
    yield f"{path}:"
    yield from (f"- {item}" for item in items)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
