"""Reads a table from CSV or JSON as people export it. Numeric cells become numbers; everything else stays text."""

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from tools.errors import ToolBadArguments, ToolTooLarge

MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_CELLS = 2_000_000
MAX_CELL_CHARS = 131_072
NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d{1,3})?%?")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})

Value = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """Each row has a value for each column; None if missing."""

    columns: list[str]
    rows: list[list[Value]]

    def column_index(self, column: str, field: str) -> int:
        """The index of a column. Raises ToolBadArguments that lists the columns."""
        if column in self.columns:
            return self.columns.index(column)
        there = ", ".join(self.columns[:50])
        raise ToolBadArguments(f"There is no column {column[:60]!r}; the columns are: {there}.", field=field)

    def column(self, name: str, field: str) -> list[Value]:
        place = self.column_index(name, field)
        return [row[place] for row in self.rows]


def read_table(data: bytes, kind: str | None, path: str) -> Table:
    """Read the table in `data`. `kind` is csv or json, or None to detect it; `path` points to the list in JSON, such as
    result.items. Raises ToolBadArguments and ToolTooLarge."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ToolBadArguments("The data is not UTF-8 text; save it as CSV in UTF-8.", field="data") from None
    json_like = text.lstrip()[:1] in ("[", "{")
    table = _from_json(text, path) if kind == "json" or (kind is None and json_like) else _from_csv(text)
    if not table.rows:
        raise ToolBadArguments("The data has no rows.", field="data")
    return table


def _from_csv(text: str) -> Table:
    head = text.lstrip("\r\n").partition("\n")[0]
    separator = max(",;\t|", key=head.count)
    csv.field_size_limit(MAX_CELL_CHARS)  # the module's own limit is the process's, and others change it
    try:
        reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
        filled = (row for row in reader if any(cell.strip() for cell in row))
        names = _column_names(next(filled, []))
        rows = _collect_rows(([_parse_cell(cell) for cell in row] for row in filled), len(names))
    except csv.Error as error:
        raise ToolBadArguments(f"The data can't be read as CSV: {error}.", field="data") from None
    return Table(names, [row[: len(names)] + [None] * (len(names) - len(row)) for row in rows])


def _column_names(cells: list[Any]) -> list[str]:
    """Unique column names."""
    names: list[str] = []
    for number, cell in enumerate(cells, 1):
        name = str(cell).strip() or f"column_{number}"
        names.append(name if name not in names else f"{name}_{number}")
    if len(names) > MAX_COLUMNS:
        raise ToolTooLarge(f"The data has more than {MAX_COLUMNS} columns; send only the relevant ones.")
    return names


def _collect_rows(rows: Any, columns: int) -> list[Any]:
    found: list[Any] = []
    most = min(MAX_ROWS, MAX_CELLS // max(columns, 1))
    for row in rows:
        if len(found) >= most:
            raise ToolTooLarge(f"The data has more than {most:,} rows; send part of it.")
        found.append(row)
    return found


def _parse_cell(cell: str) -> Value:
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    if len(text) > 40 or not any(each.isdigit() for each in text) or not NUMBER.fullmatch(text):
        return text
    if re.fullmatch(r"[+-]?0\d+", text):  # 0104985841 is a tax number, not a quantity
        return text
    plain = text.replace(",", "").rstrip("%")
    number = float(plain) if any(each in plain for each in ".eE") else int(plain)
    return number if math.isfinite(number) else text


def _from_json(text: str, path: str) -> Table:
    try:
        value = json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        raise ToolBadArguments("The data can't be read as JSON.", field="data") from None
    records = _records(_value_at(value, path))
    if len(records) > MAX_ROWS:
        raise ToolTooLarge(f"The data has more than {MAX_ROWS:,} rows; send part of it.")
    flat = [_flatten(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    if len(names) > MAX_COLUMNS or len(names) * len(flat) > MAX_CELLS:
        raise ToolTooLarge(f"The data has more than {MAX_COLUMNS} columns or {MAX_CELLS:,} values; send part of it.")
    return Table(names, [[record.get(name) for name in names] for record in flat])


def _value_at(value: Any, path: str) -> Any:
    for step in path.split(".") if path else []:
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        raise ToolBadArguments(f"The data has nothing at {path[:60]!r}.", field="path")
    return value


def _records(value: Any) -> list[Any]:
    """The list of records: the value itself, or the only list in it."""
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise ToolBadArguments("The data must be a list of objects.", field="data")
    return value


def _flatten(record: Any) -> dict[str, Value]:
    """Flatten an object: fields of inner objects as outer.inner, anything deeper as JSON."""
    if not isinstance(record, dict):
        record = dict(enumerate(record, 1)) if isinstance(record, list) else {"value": record}
    flat: dict[str, Value] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{inner}": _plain_value(each) for inner, each in value.items()})
        else:
            flat[str(name)] = _plain_value(value)
    return flat


def _plain_value(value: Any) -> Value:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)[:1000]
    return None if isinstance(value, float) and not math.isfinite(value) else value
