"""Due times over a year, by a frozen clock, in zones with and without changes to summer time."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from schema.errors import InputError
from workers.schedules.cron import check_cron, due_times, next_due, previous_due
from workers.schedules.due import first_due

YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
HANOI, BERLIN, SAO_PAULO = "Asia/Ho_Chi_Minh", "Europe/Berlin", "America/Sao_Paulo"


def year_of(cron: str, zone: str, year: int = 2026) -> list[datetime]:
    """All due times of a year, by the zone's own calendar, in its own time."""
    own = ZoneInfo(zone)
    first = datetime(year, 1, 1, tzinfo=own).astimezone(UTC) - timedelta(seconds=1)
    end = datetime(year + 1, 1, 1, tzinfo=own).astimezone(UTC)
    return [at.astimezone(own) for at in takewhile(lambda at: at < end, due_times(cron, zone, first))]


@pytest.mark.parametrize("zone", [HANOI, BERLIN, SAO_PAULO])
def test_eight_in_the_morning_is_eight_on_each_day_of_the_year(zone: str) -> None:
    times = year_of("0 8 * * *", zone)
    assert [date(2026, 1, 1) + timedelta(days=n) for n in range(365)] == [at.date() for at in times]
    assert {(8, 0)} == {(at.hour, at.minute) for at in times}


def test_in_hanoi_eight_is_one_o_clock_utc_all_year() -> None:
    assert {1} == {at.astimezone(UTC).hour for at in year_of("0 8 * * *", HANOI)}


def test_in_berlin_eight_moves_in_utc_with_both_changes() -> None:
    hours = {at.date(): at.astimezone(UTC).hour for at in year_of("0 8 * * *", BERLIN)}
    assert (7, 6, 6, 7) == tuple(
        hours[day] for day in (date(2026, 3, 28), date(2026, 3, 29), date(2026, 10, 24), date(2026, 10, 25))
    )


def test_a_time_that_the_change_to_summer_time_skips_is_due_right_after_the_gap() -> None:
    """On 29 March 2026 Berlin goes from 2:00 to 3:00."""
    times = year_of("30 2 * * *", BERLIN)
    assert 365 == len(times), "no day is left out"
    (day,) = [at for at in times if at.date() == date(2026, 3, 29)]
    assert datetime(2026, 3, 29, 1, 0, tzinfo=UTC) == day.astimezone(UTC)


def test_a_time_that_happens_twice_is_due_once() -> None:
    """On 25 October 2026 Berlin has the time from 2:00 to 3:00 twice."""
    times = [at for at in year_of("30 2 * * *", BERLIN) if at.date() == date(2026, 10, 25)]
    assert [datetime(2026, 10, 25, 0, 30, tzinfo=UTC)] == [at.astimezone(UTC) for at in times], "the first of both"


@pytest.mark.parametrize(("day", "due"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)])
def test_each_hour_is_due_as_often_as_the_day_has_hours(day: date, due: int) -> None:
    times = [at for at in year_of("0 * * * *", BERLIN) if at.date() == day]
    assert due == len(times)
    gaps = {b.astimezone(UTC) - a.astimezone(UTC) for a, b in pairwise(times)}
    assert {timedelta(hours=1)} == gaps


def test_sao_paulo_has_no_summer_time_any_more_and_had_it_at_midnight() -> None:
    assert {11} == {at.astimezone(UTC).hour for at in year_of("0 8 * * *", SAO_PAULO)}
    times = year_of("0 0 * * *", SAO_PAULO, 2018)  # on 4 November 2018 there was no midnight
    assert 365 == len(times)
    assert datetime(2018, 11, 4, 3, 0, tzinfo=UTC) in [at.astimezone(UTC) for at in times]


def test_working_days_and_the_last_of_a_month() -> None:
    assert {0, 1, 2, 3, 4} == {at.weekday() for at in year_of("0 8 * * MON-FRI", HANOI)}
    assert [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] == [at.day for at in year_of("0 8 L * *", BERLIN)]


def test_before_and_after_meet() -> None:
    times = list(islice(due_times("*/17 3 * * *", BERLIN, YEAR[0]), 300))
    for before, at in pairwise(times):
        assert at == next_due("*/17 3 * * *", BERLIN, before)
        assert before == previous_due("*/17 3 * * *", BERLIN, at - timedelta(seconds=1))
        assert at == previous_due("*/17 3 * * *", BERLIN, at)


def test_a_schedule_starts_at_its_start_and_ends_with_its_end() -> None:
    now, noon = YEAR[0], datetime(2026, 5, 4, 12, tzinfo=UTC)
    day = timedelta(days=1)
    assert noon == first_due("0 12 * * *", "UTC", now=now, starts_at=noon, ends_at=noon)
    assert noon + day == first_due("0 12 * * *", "UTC", now=now, starts_at=noon + timedelta(minutes=1), ends_at=None)
    assert (
        first_due("0 12 * * *", "UTC", now=now, starts_at=noon + timedelta(minutes=1), ends_at=noon + day / 2) is None
    )
    assert noon + day == first_due("0 12 * * *", "UTC", now=noon, starts_at=now, ends_at=None)


@pytest.mark.parametrize(
    ("cron", "names"),
    [
        ("0 8 * *", "five parts: minute, hour, day-of-month, month, day-of-week. 4 were sent"),
        ("0 0 8 * * *", "6 were sent"),
        ("60 8 * * *", "'60' is no minute: 0 to 59"),
        ("0 24 * * *", "'24' is no hour: 0 to 23"),
        ("0 8 32 * *", "'32' is no day-of-month: 1 to 31"),
        ("0 8 * 13 *", "'13' is no month"),
        ("0 8 * * FUNDAY", "'FUNDAY' is no day-of-week"),
        ("0 8-6 * * *", "'8-6' is no hour"),
        ("*/0 8 * * *", "'*/0' is no minute"),
        ("*/61 * * * *", "'*/61' is no minute"),
        ("0,5-50/61 * * * *", "is no minute"),
        ("0 */25 * * *", "'*/25' is no hour: 0 to 23"),
        ("0 8 */32 * *", "is no day-of-month"),
        ("0 8 30 2 *", "is never due"),
        ("0 8 31 4,6,9,11 *", "is never due"),
        ("0 8 ٣ * *", "is no day-of-month"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_the_part_and_an_example(cron: str, names: str) -> None:
    with pytest.raises(InputError) as refused:
        check_cron(cron, "UTC")
    assert "cron" == refused.value.field
    assert names in refused.value.message
    assert "'0 8 * * MON-FRI'" in refused.value.message


@pytest.mark.parametrize(
    "zone", ["", "Hanoi", "UTC+7", "localtime", "Factory", "../etc/passwd", "Europe/Berlin\0", "x" * 300]
)
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InputError) as refused:
        check_cron("0 8 * * *", zone)
    assert "timezone" == refused.value.field
    assert "Asia/Ho_Chi_Minh" in refused.value.message


@pytest.mark.parametrize("cron", ["*/60 * * * *", "0 */24 * * *", "0 8 */31 */12 */7"])
def test_a_step_as_long_as_its_part_is_taken(cron: str) -> None:
    check_cron(cron, "UTC")


def test_what_is_due_every_fourth_year_is_due() -> None:
    check_cron("0 8 29 2 *", "UTC")
    assert datetime(2028, 2, 29, 8, tzinfo=UTC) == next_due("0 8 29 2 *", "UTC", YEAR[0])
