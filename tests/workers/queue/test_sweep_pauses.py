"""Pauses of the sweeper's answers: what is longer than it meant is found, once."""

from workers.queue.sweep_pauses import SweepPauses


def test_a_pause_longer_than_the_sweeper_meant_is_found_once() -> None:
    pauses = SweepPauses(longest_s=15)
    assert [0, 0, 40, 0] == [pauses.note(now_s) for now_s in (1000.0, 1015.0, 1055.0, 1056.0)]


def test_a_clock_that_is_set_back_is_no_pause() -> None:
    pauses = SweepPauses(longest_s=15)
    assert [0, 0, 0] == [pauses.note(now_s) for now_s in (1000.0, 900.0, 901.0)]
