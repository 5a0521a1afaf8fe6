"""What stands in fields of odd answers where something else belongs."""

from typing import Any

WRONG: tuple[Any, ...] = (None, 7, -1, 1.5, True, "text", [], ["text"], {}, {"a": [1]}, 2**70)
"""Values that are of the wrong type for most fields."""
