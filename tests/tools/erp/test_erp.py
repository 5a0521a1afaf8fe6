"""The demo's ERP: who may ask, what it answers, that it does a thing once, and the tools that call it."""

import base64
import hmac
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from joserfc import jwt

from schema.errors import EgressRefused
from tests.counterparts.oidc_provider import make_key
from tests.tools.tool_contexts import call, failure, web_context
from tests.waiting import PATIENCE_S
from tools.configured import ToolDefinition, build_tool, check_definition
from tools.contract import Tool
from tools.egress import EgressPolicy
from tools.erp import ledger
from tools.erp.authentication import KeySetCache
from tools.erp.definitions import definitions
from tools.erp.service import Erp
from tools.errors import ToolBadArguments, ToolFailed, ToolRefused
from tools.execution import call_tool

ISSUER = "http://127.0.0.1:8000"
HOST = "erp.example.com"
MST = "0104985841"
TLS = httpx2.create_ssl_context(trust_env=False)
"""Made once: it takes longer than a test."""

ROOT = Path(__file__).parents[3]


class KeySource:
    """A key set that can change, and how often it was read."""

    def __init__(self) -> None:
        self.names, self.reads, self.away = ["first"], 0, False

    def read(self, url: str) -> bytes:
        self.reads += 1
        if self.away:
            raise OSError("away")
        return json.dumps({"keys": [make_key(name).as_dict(private=False) for name in self.names]}).encode()


@pytest.fixture
def source() -> KeySource:
    return KeySource()


@pytest.fixture
def erp(source: KeySource) -> Iterator[Erp]:
    with serving(KeySetCache("http://keys.example/jwks", refetch_s=0, read=source.read)) as server:
        yield server


@contextmanager
def serving(keys: KeySetCache) -> Iterator[Erp]:
    with Erp(keys, issuer=ISSUER, audience=HOST, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
async def http(erp: Erp) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=erp.url, headers=signed(), trust_env=False, verify=TLS) as client:
        yield client


def make_token(
    kid: str = "first", *, key: str | None = None, header: dict[str, Any] | None = None, **claims: Any
) -> str:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": HOST, "sub": "u1", "tenant_id": "t1", "iat": now, "exp": now + 600, **claims}
    head = {"alg": "RS256", "typ": "job+jwt", "kid": kid, **(header or {})}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(head, said, make_key(key or kid), algorithms=["RS256"], default_type=None)


def forged_with_the_public_key() -> str:
    """HS256 with what everybody can read as its secret."""
    signed_part, _, _ = make_token().rpartition(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).rstrip(b"=").decode()
    signed_part = f"{head}.{signed_part.partition('.')[2]}"
    seal = hmac.digest(make_key("first").as_pem(private=False), signed_part.encode(), "sha256")
    return f"{signed_part}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def signed(**claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {make_token(**claims)}"}


def tools(base_url: str) -> dict[str, Tool]:
    return {row["name"]: build_tool(msgspec.convert(row, ToolDefinition)) for row in definitions(base_url)}


async def job_token(url: str) -> str:
    return make_token()


async def test_a_debt_is_the_sum_of_the_open_invoices(http: httpx2.AsyncClient) -> None:
    debt = (await http.get(f"/debts/{MST}")).json()
    invoices = (await http.get("/invoices", params={"tax_code": MST})).json()["invoices"]
    assert (125_750_000, 84_500_000, "VND") == (debt["debt"], debt["overdue"], debt["currency"])
    assert debt["debt"] == sum(each["amount"] - each["paid"] for each in invoices)
    assert debt["open_invoices"] == [each["number"] for each in invoices if each["open"]]
    assert 0 < debt["overdue"] < debt["debt"]


async def test_shipments_and_stock_are_found_by_their_codes(http: httpx2.AsyncClient) -> None:
    assert "in_transit" == (await http.get("/shipments/vd1014")).json()["status"]
    assert ["VD1007", "VD1014"] == [
        each["code"] for each in (await http.get("/shipments", params={"tax_code": MST})).json()["shipments"]
    ]
    by_sku = (await http.get("/inventory", params={"sku": "CF-ROB-01"})).json()["stock"]
    both = (await http.get("/inventory", params={"sku": "CF-ROB-01", "warehouse": "HCM01"})).json()["stock"]
    assert ({"HN01", "HCM01", "DN01"}, [168]) == (
        {each["warehouse"] for each in by_sku},
        [each["available"] for each in both],
    )


def test_every_tax_code_has_its_check_digit_and_every_row_its_customer() -> None:
    data = json.loads(ledger.DATA.read_text(encoding="utf-8"))
    codes = {each["tax_code"] for each in data["customers"]}
    weights = (31, 29, 23, 19, 17, 13, 7, 5, 3)
    for code in codes:
        assert int(code[9]) == 10 - sum(int(digit) * weight for digit, weight in zip(code, weights, strict=False)) % 11
    assert {MST} <= codes >= {each["tax_code"] for each in (*data["invoices"], *data["shipments"])}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/debts/0000000000", 404),
        ("/debts/1", 400),
        ("/debts", 404),
        ("/debts/a/b", 404),
        (f"/debts/..%2F{MST}", 400),
        ("/invoices", 400),
        ("/invoices?tax_code=0000000000", 404),
        ("/shipments/VD1", 404),
        ("/inventory", 400),
        ("/", 404),
        ("/data.json", 404),
    ],
)
async def test_what_is_not_there_is_a_problem(http: httpx2.AsyncClient, path: str, status: int) -> None:
    answer = await http.get(path)
    assert (status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert status == answer.json()["status"]


@pytest.mark.parametrize(
    "token",
    [
        lambda: "x.y",
        lambda: "canary",
        lambda: make_token(exp=1),
        lambda: make_token(exp=None),
        lambda: make_token(iss="https://evil.example"),
        lambda: make_token(aud="another"),
        lambda: make_token(aud="headrace"),
        lambda: make_token(header={"typ": "at+jwt"}),
        lambda: make_token(header={"typ": "JWT"}),
        lambda: make_token(tenant_id=None),
        lambda: make_token(tenant_id=["t1"]),
        lambda: make_token(sub=None),
        lambda: make_token("first", key="forged"),
        lambda: make_token("unknown"),
        lambda: make_token(header={"jku": "https://evil.example/jwks"}),
        lambda: make_token(header={"typ": "logout+jwt"}),
        lambda: make_token() + "x" * 9000,
        lambda: make_token().rpartition(".")[0] + ".",
        forged_with_the_public_key,
    ],
)
async def test_a_token_that_is_not_good_opens_nothing(http: httpx2.AsyncClient, token) -> None:
    answer = await http.get(f"/debts/{MST}", headers={"authorization": f"Bearer {token()}"})
    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
    assert (False, False) == ("canary" in answer.text, "Sông Hồng" in answer.text)


async def test_a_new_key_is_fetched_when_a_token_names_it(http: httpx2.AsyncClient, source: KeySource) -> None:
    assert 200 == (await http.get(f"/debts/{MST}")).status_code
    source.names = ["second", "first"]
    for kid in ("second", "first", "second"):
        headers = {"authorization": f"Bearer {make_token(kid)}"}
        assert 200 == (await http.get(f"/debts/{MST}", headers=headers)).status_code
    assert 2 == source.reads


async def test_known_keys_stay_good_while_the_key_set_is_away(http: httpx2.AsyncClient, source: KeySource) -> None:
    assert 200 == (await http.get(f"/debts/{MST}")).status_code
    source.away = True
    assert (
        401 == (await http.get("/inventory", headers={"authorization": f"Bearer {make_token('second')}"})).status_code
    )
    assert 200 == (await http.get(f"/debts/{MST}")).status_code


async def test_without_any_keys_the_erp_says_that_it_can_not_tell(http: httpx2.AsyncClient, source: KeySource) -> None:
    source.away = True
    assert (503, 200) == ((await http.get(f"/debts/{MST}")).status_code, (await http.get("/health")).status_code)


def test_unknown_keys_do_not_have_the_set_fetched_for_each_request(source: KeySource) -> None:
    keys = KeySetCache("http://keys.example/jwks", refetch_s=3600, read=source.read)
    assert [None] * 50 == [keys.find(f"unknown-{number}") for number in range(50)]
    assert 1 == source.reads


async def test_a_reminder_goes_out_once_for_each_key_and_tenant(http: httpx2.AsyncClient) -> None:
    body, key = {"tax_code": MST, "message": "Xin vui lòng thanh toán."}, {"idempotency-key": "call_1"}
    answers = [await http.post("/reminders", json=body, headers=key) for _ in range(3)]
    other = await http.post("/reminders", json={**body, "message": "Another"}, headers=key)
    elsewhere = await http.post("/reminders", json=body, headers={**key, **signed(tenant_id="t2")})
    assert ([201, 200, 200], 409, 201) == (
        [each.status_code for each in answers],
        other.status_code,
        elsewhere.status_code,
    )
    sent = (await http.get("/reminders")).json()["reminders"]
    assert [(1, "call_1", 3)] == [(each["number"], each["key"], each["calls"]) for each in sent]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[" * 100_000, 413),
        (b"[" * 10_000, 400),
        (b"{}", 400),
        (b'{"tax_code": "0104985841", "message": ""}', 400),
        (b'{"tax_code": "0104985841", "message": "x", "admin": true}', 400),
        (b'{"tax_code": "0000000000", "message": "x"}', 404),
        (b'{"tax_code": "../x", "message": "x"}', 400),
    ],
)
async def test_a_reminder_that_is_not_right_is_not_sent(http: httpx2.AsyncClient, content: bytes, status: int) -> None:
    assert status == (await http.post("/reminders", content=content)).status_code
    assert [] == (await http.get("/reminders")).json()["reminders"]


def test_every_tool_of_the_erp_is_a_right_row_where_an_admin_allowed_its_address() -> None:
    policy = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1:8099"})
    rows = [msgspec.convert(row, ToolDefinition) for row in definitions("http://127.0.0.1:8099/")]
    for row in rows:
        check_definition(row, policy)
        with pytest.raises(EgressRefused, match="HEADRACE_EGRESS_ALLOW"):
            check_definition(row, EgressPolicy())
    assert ["send_reminder"] == [row.name for row in rows if build_tool(row).spec.side_effects]


async def test_the_tools_answer_with_the_callers_own_token(erp: Erp) -> None:
    found = tools(erp.url)
    async with web_context(job_token=job_token) as context:
        debt = await call(found["get_customer_debt"], context, tax_code=MST)
        invoices = await call(found["list_invoices"], context, tax_code=MST)
        shipment = await call(found["get_shipment"], context, code="VD1014")
        stock = await call(found["get_inventory"], context, warehouse="DN01")
    assert (MST, "card") == (debt.data["tax_code"], debt.renderer)
    assert (4, "| number |") == (len(invoices.data), invoices.text[:10])
    assert ("in_transit", 6) == (shipment.data["status"], len(stock.data))


async def test_a_tool_call_that_comes_again_reminds_nobody_twice(erp: Erp, http: httpx2.AsyncClient) -> None:
    remind = tools(erp.url)["send_reminder"]
    async with web_context(job_token=job_token) as context:
        for call_id in ("call_1", "call_1", "call_2"):
            await call_tool(remind, {"tax_code": MST, "message": "Please pay."}, replace(context, call_id=call_id))
    sent = (await http.get("/reminders")).json()["reminders"]
    assert [("call_1", 2), ("call_2", 1)] == [(each["key"], each["calls"]) for each in sent]


async def test_a_wrong_argument_or_caller_is_a_sentence_and_not_a_call(erp: Erp) -> None:
    found = tools(erp.url)
    async with web_context(job_token=job_token) as context:
        wrong = await failure(found["get_customer_debt"], context, tax_code="../admin")
        empty = await failure(found["get_inventory"], context)
        unknown = await failure(found["get_customer_debt"], context, tax_code="0000000000")
    async with web_context() as context:
        stranger = await failure(found["get_customer_debt"], context, tax_code=MST)
    assert (ToolBadArguments, ToolBadArguments) == (type(wrong), type(empty))
    assert (ToolFailed, ToolRefused) == (type(unknown), type(stranger))


def test_the_process_serves_at_once_and_ends_when_it_is_told_to() -> None:
    command = [sys.executable, "-m", "tools.erp", "--port", "0", "--jwks", f"{ISSUER}/jwks", "--issuer", ISSUER]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            assert {"status": "ok"} == httpx2.get(f"{url}/health", trust_env=False).json()
        finally:
            process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(PATIENCE_S)
