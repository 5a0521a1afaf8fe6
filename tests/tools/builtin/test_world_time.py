"""Times around the world, with a clock that stands still."""

from datetime import UTC, datetime

import pytest

from tests.tools.tool_contexts import call, failure
from tools.builtin import world_time

TOOL = world_time.build(lambda: datetime(2026, 7, 1, 2, 30, tzinfo=UTC))


async def test_the_time_now_in_several_places() -> None:
    result = await call(TOOL, places=["Hà Nội", "New York", "UTC"])
    assert [
        "Hà Nội (Asia/Ho_Chi_Minh): Wednesday, 2026-07-01 09:30 (UTC+07:00)",
        "New York (America/New_York): Tuesday, 2026-06-30 22:30 (UTC-04:00)",
        "UTC (UTC): Wednesday, 2026-07-01 02:30 (UTC+00:00)",
    ] == result.text.splitlines()


@pytest.mark.parametrize(
    ("time", "where", "expected"),
    [
        ("09:00", "Hanoi", "2026-07-01T03:00+01:00"),
        ("9:00", "Hanoi", "2026-07-01T03:00+01:00"),
        ("2026-01-01 09:00", "Hanoi", "2026-01-01T02:00+00:00"),
        ("2026-01-01T09:00:00Z", "Hanoi", "2026-01-01T09:00+00:00"),
        ("2026-01-01", "Tokyo", "2025-12-31T15:00+00:00"),
    ],
)
async def test_a_time_elsewhere_counts_with_summer_time(time: str, where: str, expected: str) -> None:
    result = await call(TOOL, places=["London"], time=time, time_is_in=where)
    assert expected == result.data["times"][0]["time"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"places": ["Atlantis"]}, "places.0"),
        ({"places": ["UTC", "../../../etc/passwd"]}, "places.1"),
        ({"places": ["/etc/passwd"]}, "places.0"),
        ({"places": ["UTC\x00"]}, "places.0"),
        ({"places": ["UTC"], "time": "soon"}, "time"),
        ({"places": ["UTC"], "time": "25:00"}, "time"),
        ({"places": ["Tokyo"], "time": "9999-12-31 23:00", "time_is_in": "Los Angeles"}, "time"),
        ({"places": ["UTC"], "time": "09:00", "time_is_in": "Nowhere"}, "time_is_in"),
    ],
)
async def test_what_is_no_place_or_no_time_names_the_field(arguments: dict[str, object], field: str) -> None:
    error = await failure(TOOL, **arguments)
    assert ("tool_bad_arguments", field) == (error.code, error.field)
