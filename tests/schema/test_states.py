"""The states of a job."""

from schema.states import IN_FLIGHT, PRIORITIES, STATES, TERMINAL, TRANSITIONS, priority_name, public_state


def test_every_state_has_its_moves() -> None:
    assert set(STATES) == set(TRANSITIONS)


def test_nothing_but_a_person_moves_an_ended_job() -> None:
    assert {"succeeded": set(), "failed": {"queued"}, "cancelled": {"queued"}} == {
        s: set(TRANSITIONS[s]) for s in TERMINAL
    }


def test_users_never_see_the_inner_state() -> None:
    assert {"queued", "running", *TERMINAL} == {public_state(state) for state in STATES}
    assert ("dispatched", "running") == IN_FLIGHT


def test_priorities_have_names_both_ways() -> None:
    assert list(PRIORITIES) == [priority_name(rank) for rank in PRIORITIES.values()]
