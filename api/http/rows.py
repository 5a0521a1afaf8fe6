"""Turns rows of `schema/queries/` into the shapes that clients see, so that a new column is not written out once more."""

from typing import Any, TypeVar

import msgspec

Out = TypeVar("Out", bound=msgspec.Struct)


def from_row(out: type[Out], row: object, **given: Any) -> Out:
    """Return an `out` with what `row` has under the names of its fields, and with `given` in place of or beside that.

    What the shape doesn't name stays behind. Raises TypeError if a field without a default is in neither.
    """
    values = {name: getattr(row, name) for name in out.__struct_fields__ if name not in given and hasattr(row, name)}
    return out(**values, **given)
