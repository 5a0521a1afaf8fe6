"""Codes in texts, and which agent knows codes of a form."""

import pytest

from graphs.language.patterns import codes_in, mark_codes
from graphs.routing.codes import KnownCodes, patterns_of
from graphs.routing.contract import Candidate, Context
from graphs.routing.router import Router
from tests.routing.labelled import read_agents
from tools.erp.definitions import SHIPMENT, SKU, TAX_CODE

AGENTS = read_agents()


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("tax code 0104985841", ("0104985841",)),
        ("MSKU1234565 and SHP-20394.", ("MSKU1234565", "SHP-20394")),
        ("CPL#0092-Z, has it RSV~88X41", ("CPL#0092-Z", "RSV~88X41")),
        ("the year 2024, or 2023-2024", ()),
        ("1.150.000 đồng on 05/11/2024, 84.60 EUR, 20%, room 412", ()),
        ("Q3, A4, 4G and the 4th of E31", ()),
        ("scan_0104985841.pdf", ()),
    ],
)
def test_codes_are_told_from_years_amounts_dates_and_files(text: str, codes: tuple[str, ...]):
    assert codes == codes_in(text)


def test_texts_about_different_codes_are_alike():
    assert mark_codes("where is SHP-20394") == mark_codes("where is 0104985841")


def schema(**properties: dict) -> dict:
    return {"type": "object", "properties": properties}


def test_patterns_that_fit_any_word_tell_nothing():
    found = patterns_of([schema(code=SHIPMENT, sku=SKU, year={"type": "string", "pattern": "^[0-9]{4}$"}), {}])
    assert (SHIPMENT["pattern"],) == found


@pytest.mark.parametrize("hostile", ["(a+)+$", "(", "^(?:[0-9]+)+x$"])
def test_a_pattern_that_is_slow_or_none_knows_nothing(hostile: str):
    assert not KnownCodes(patterns_of([schema(x={"pattern": hostile})]), ()).knows_one_of(["1" * 60])


def test_an_agent_knows_codes_by_its_tools_and_by_its_examples():
    known = KnownCodes((TAX_CODE["pattern"],), ("Where is SHP-20394?", "Track HLCU8012345"))
    assert [True, True, True, True, False, False] == [
        known.knows_one_of([code]) for code in ("0312345678", "0312345678-001", "SHP-7", "MSCU7654321", "VD1007", "77")
    ]


@pytest.mark.parametrize(
    ("code", "agent"), [("0312345678", "AgentDebt"), ("VD1007", "AgentShipment"), ("MSCU7654321", "AgentShipment")]
)
async def test_a_code_alone_goes_to_the_agent_whose_tools_or_examples_know_it(code: str, agent: str):
    assert agent == (await Router(None).route(code, AGENTS)).agent


async def test_a_code_of_unknown_form_goes_nowhere_by_its_form():
    routes = [await Router(None).route(code, AGENTS) for code in ("RSV~88X41", "88-1402/7")]
    assert [(None, True)] * 2 == [(route.agent, route.clarify is not None) for route in routes]
    assert "AgentOCR" == (await Router(None).route("RSV~88X41", AGENTS, Context("AgentOCR"))).agent


async def test_an_agent_of_a_tenant_gets_codes_of_its_own_tools():
    parcels = Candidate("Parcels", "Where parcels are.", patterns=("^PX[0-9]{5}$",))
    other = Candidate("Meals", "What is for lunch.")
    assert "Parcels" == (await Router(None).route("PX20011", [other, parcels])).agent
