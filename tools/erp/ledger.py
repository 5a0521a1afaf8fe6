"""The ERP's data: customers, invoices, shipments and stock, from one file. Amounts are whole đồng (VND).

Debts are computed from the invoices as of the date in the file, so that responses do not change over time.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

Row = dict[str, Any]

DATA = Path(__file__).with_name("data.json")


@cache
def _data() -> dict[str, Any]:
    return json.loads(DATA.read_text(encoding="utf-8"))


def find_customer(tax_code: str) -> Row | None:
    """The customer with this tax code (MST), or None."""
    return _first(_data()["customers"], "tax_code", tax_code)


def find_debt(tax_code: str) -> Row | None:
    """What a customer owes: `debt` in all, `overdue` of it, and the open invoices. None for an unknown tax code."""
    customer = find_customer(tax_code)
    if customer is None:
        return None
    unpaid = [each for each in list_invoices(tax_code) if each["open"]]
    return {
        "tax_code": tax_code,
        "customer": customer["name"],
        "debt": sum(each["open"] for each in unpaid),
        "overdue": sum(each["open"] for each in unpaid if each["overdue"]),
        "credit_limit": customer["credit_limit"],
        "currency": _data()["currency"],
        "as_of": _data()["as_of"],
        "open_invoices": [each["number"] for each in unpaid],
    }


def list_invoices(tax_code: str) -> list[Row]:
    """A customer's invoices, oldest first, each with what is still `open` and whether it is `overdue`."""
    rows = _where(_data()["invoices"], tax_code=tax_code)
    return [_with_open(row) for row in sorted(rows, key=lambda row: row["issued"])]


def find_shipment(code: str) -> Row | None:
    """The shipment with this code, or None."""
    return _first(_data()["shipments"], "code", code.upper())


def list_shipments(tax_code: str) -> list[Row]:
    return _where(_data()["shipments"], tax_code=tax_code)


def list_stock(sku: str = "", warehouse: str = "") -> list[Row]:
    """Stock by article, by warehouse, or both, with what is `available`; an empty string means all."""
    wanted = {name: word.upper() for name, word in (("sku", sku), ("warehouse", warehouse)) if word}
    rows = _where(_data()["inventory"], **wanted)
    return [{**row, "available": row["on_hand"] - row["reserved"]} for row in rows]


def _with_open(row: Row) -> Row:
    unpaid = row["amount"] - row["paid"]
    return {**row, "open": unpaid, "overdue": unpaid > 0 and row["due"] < _data()["as_of"]}


def _where(rows: Iterable[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _first(rows: Iterable[Row], name: str, value: str) -> Row | None:
    return next((row for row in rows if row[name] == value), None)
