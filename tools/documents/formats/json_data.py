"""JSON and JSON lines as readable text: "address.city: Hanoi". Each object of a list becomes a block of its own, so that it can
be found and cited alone. Numbers are kept as written."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from tools.documents.block_collector import BlockCollector
from tools.documents.blocks import ReadBlocks, Unreadable
from tools.documents.formats import ReadOptions
from tools.documents.formats.plain_text import read_text

MAX_DEPTH = 12
MAX_ONE_LINE = 300
TITLE_KEYS = ("title", "name", "id")


def read(file: BinaryIO, options: ReadOptions) -> ReadBlocks:
    """Raises Unreadable: damaged, empty, too_large."""
    collector = BlockCollector(options.max_characters)
    text = read_text(file, options, collector, max_factor=4).lstrip("\ufeff")
    try:
        _add(_parse(text, collector), "", 0, collector)
    except RecursionError as error:
        raise Unreadable("too_large", "The JSON is nested too deeply; flatten it.") from error
    return collector.finish()


def _load(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _parse(text: str, collector: BlockCollector) -> Any:
    """The parsed value, or for JSON lines the list of values."""
    try:
        return _load(text)
    except ValueError as error:
        values, bad = [], 0
        for line in text.splitlines():
            try:
                values += [_load(line)] if line.strip() else []
            except ValueError:
                bad += 1
        if not values or bad > len(values) or not any(isinstance(value, dict | list) for value in values):
            raise Unreadable(
                "damaged", f"The file is not valid JSON: {str(error)[:100]}. Fix it and upload it again."
            ) from error
        if bad:
            collector.note(
                f"{bad} {'line is' if bad == 1 else 'lines are'} not valid JSON and {'was' if bad == 1 else 'were'} left out."
            )
        return values


def _add(value: Any, path: str, depth: int, collector: BlockCollector) -> None:
    """Add an object or a list: its scalar values as one text, lists of objects under headings of their own."""
    if isinstance(value, list):
        if not any(isinstance(item, dict | list) for item in value):
            collector.add("text", "\n".join(map(_scalar_text, value)))
            return
        for item in value:
            collector.add("text", "\n".join(_lines(item, "", depth)))
    elif isinstance(value, dict):
        lists = {key: item for key, item in value.items() if depth < MAX_DEPTH and _is_record_list(item)}
        rest = {key: item for key, item in value.items() if key not in lists}
        collector.add("text", "\n".join(_lines(rest, "", depth)))
        for key, records in lists.items():
            full = f"{path}.{key}" if path else key
            collector.add_heading(full, depth + 1)
            _add(records, full, depth + 1, collector)
    else:
        collector.add("text", _scalar_text(value))


def _is_record_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) for item in value)


def _lines(value: Any, path: str, depth: int) -> Iterator[str]:
    """ "key: value" for each scalar; a short list of scalars on one line."""
    if isinstance(value, dict) and value and depth < MAX_DEPTH:
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list) and depth < MAX_DEPTH and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, 1):
            yield from _lines(item, f"{path}[{number}]", depth + 1)
    elif isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        yield from _short_list([_scalar_text(item) for item in value], path)
    elif value is not None and value != {}:
        text = _scalar_text(value)
        yield f"{path}: {text}" if path else text


def _short_list(items: list[str], path: str) -> Iterator[str]:
    joined = ", ".join(items)
    if len(joined) <= MAX_ONE_LINE:
        if joined:
            yield f"{path}: {joined}" if path else joined
        return
    yield f"{path}:"
    yield from (f"- {item}" for item in items)


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
