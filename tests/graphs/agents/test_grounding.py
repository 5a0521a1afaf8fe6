"""Figures and quotations that an answer adds to what it rests on."""

import pytest

from graphs.agents.grounding import find_unsupported

RESULT = '{"debt": 125750000, "currency": "VND", "as_of": "2026-03-05", "rate": 84.6}'
PASSAGE = "Invoices are due after 30 days, unless the contract says otherwise."


@pytest.mark.parametrize(
    "answer",
    [
        "It owes 125,750,000 VND on 5 March 2026.",
        "Nợ 125.750.000 đồng (05/03/2026), lãi 84,60.",
        "Due after 30 days [12], as it says: “Invoices are due after 30 days”.",
        "1. One thing. 2. Another thing.",
        'He said "yes".',
    ],
)
def test_what_is_in_the_sources_is_supported_however_it_is_written(answer: str):
    assert [] == find_unsupported(answer, [RESULT, PASSAGE])


@pytest.mark.parametrize(
    ("answer", "unsupported"),
    [
        ("It owes 12,575,000 VND.", ["12,575,000"]),
        ("Due after 45 days.", ["45"]),
        ("It says “Invoices are due after the delivery”.", ["“Invoices are due after the delivery”"]),
        ("> Invoices must be paid at once.", ["“Invoices must be paid at once.”"]),
    ],
)
def test_what_a_model_made_up_or_copied_wrongly_is_told(answer: str, unsupported: list[str]):
    assert unsupported == find_unsupported(answer, [RESULT, PASSAGE])


def test_of_many_a_few_are_told_each_once():
    assert 5 == len(find_unsupported(" ".join(f"{number} {number}" for number in range(100, 200)), [""]))
