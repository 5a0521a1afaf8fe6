"""What is said of a judged question: whether it came out right (None: nobody can say), and the figures."""

from typing import Any

Outcome = tuple[bool | None, dict[str, Any]]
