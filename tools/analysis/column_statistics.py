"""Statistics of a table's columns. Only numeric values count as numbers; text between them counts as missing."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tools.analysis.table import Table, Value
from tools.errors import ToolBadArguments

MAX_CORRELATED = 20


def numbers_in(values: Sequence[Value]) -> list[float]:
    """The numbers among the values, without booleans."""
    return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]


def describe(values: Sequence[Value]) -> dict[str, Any]:
    """Describe a column: numeric statistics if most values are numbers, else the most common texts."""
    present = [value for value in values if value is not None]
    figures: dict[str, Any] = {"count": len(present), "missing": len(values) - len(present)}
    numbers = numbers_in(present)
    if present and len(numbers) * 2 > len(present):
        return {**figures, "not_numbers": len(present) - len(numbers), **_number_statistics(numbers)}
    texts = Counter(str(value)[:100] for value in present)
    top = [{"value": value, "count": count} for value, count in texts.most_common(5)]
    return {**figures, "distinct": len(texts), "most_common": top}


def _number_statistics(numbers: list[float]) -> dict[str, Any]:
    ordered = sorted(numbers)
    return {
        "sum": round_off(exact_sum(ordered)),
        "mean": round_off(exact_sum(ordered) / len(ordered)),
        "median": round_off(quantile(ordered, 0.5)),
        "stdev": round_off(sample_stdev(ordered)),
        "min": round_off(ordered[0]),
        "q1": round_off(quantile(ordered, 0.25)),
        "q3": round_off(quantile(ordered, 0.75)),
        "max": round_off(ordered[-1]),
    }


def exact_sum(numbers: Sequence[float]) -> float:
    """The exactly rounded sum. Raises ToolBadArguments if it overflows a float."""
    try:
        return math.fsum(numbers)
    except OverflowError:
        raise ToolBadArguments("The numbers are too large to be summed.", field="data") from None


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """The quantile of sorted numbers, linearly interpolated (as Excel's QUARTILE.INC)."""
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def sample_stdev(numbers: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1); None for fewer than two numbers."""
    if len(numbers) < 2:
        return None
    mean = exact_sum(numbers) / len(numbers)
    return math.sqrt(exact_sum([(number - mean) * (number - mean) for number in numbers]) / (len(numbers) - 1))


def round_off(number: float | None) -> float | int | None:
    """Round away binary noise and return whole numbers as int; None if not finite."""
    if number is None or isinstance(number, int):
        return number
    if not math.isfinite(number):
        return None
    rounded = float(f"{number:.12g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def correlate(table: Table, columns: list[str]) -> list[dict[str, Any]]:
    """Pearson's r for each pair of columns of numbers, over rows where both are numbers; strongest first."""
    names = columns or [name for name in table.columns if len(numbers_in(table.column(name, "columns"))) > 1]
    if not 2 <= len(names) <= MAX_CORRELATED:
        raise ToolBadArguments(f"Name 2 to {MAX_CORRELATED} columns of numbers.", field="columns")
    pairs = [
        {"first": first, "second": second, **_pearson(table.column(first, "columns"), table.column(second, "columns"))}
        for number, first in enumerate(names)
        for second in names[number + 1 :]
    ]
    return sorted(pairs, key=lambda pair: -abs(pair["r"] or 0))


def _pearson(first: Sequence[Value], second: Sequence[Value]) -> dict[str, Any]:
    both = [pair for pair in zip(first, second, strict=True) if len(numbers_in(pair)) == 2]
    xs, ys = numbers_in([x for x, _ in both]), numbers_in([y for _, y in both])
    if len(both) < 2:
        return {"r": None, "rows": len(both)}
    mean_x, mean_y = exact_sum(xs) / len(xs), exact_sum(ys) / len(ys)
    across = exact_sum([(x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)])
    spread = math.sqrt(exact_sum([(x - mean_x) ** 2 for x in xs])) * math.sqrt(
        exact_sum([(y - mean_y) ** 2 for y in ys])
    )
    return {"r": round(across / spread, 6) if spread else None, "rows": len(both)}
