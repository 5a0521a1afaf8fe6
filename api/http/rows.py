"""Converts rows of `schema/queries/` into response structs by field name, so that a new column needs no mapping code."""

from typing import Any, TypeVar

import msgspec

Out = TypeVar("Out", bound=msgspec.Struct)


def from_row(out: type[Out], row: object, **overrides: Any) -> Out:
    """Return an `out` whose fields come from `overrides`, or else from the attributes of `row` with the same names.

    Attributes that aren't fields of `out` are ignored. Raises TypeError if a field without a default is in neither.
    """
    values = {
        name: getattr(row, name) for name in out.__struct_fields__ if name not in overrides and hasattr(row, name)
    }
    return out(**values, **overrides)
