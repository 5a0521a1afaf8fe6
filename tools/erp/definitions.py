"""The demo's tools: rows that call the ERP with a token of the job. They contain no code: an admin can define the same for
any other system with a few API calls.
"""

from typing import Any

TAX_CODE = {
    "type": "string",
    "description": "Tax code (mã số thuế, MST) of the customer: 10 digits, or 10 digits, a dash and 3, such as 0104985841",
    "pattern": "^[0-9]{10}(-[0-9]{3})?$",
}
SHIPMENT = {
    "type": "string",
    "description": "Code of the shipment (mã vận đơn), such as VD1007",
    "pattern": "^[A-Za-z]{2}[0-9]{3,8}$",
}
SKU = {
    "type": "string",
    "description": "Article number (mã hàng, SKU), such as CF-ROB-01",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9-]{1,31}$",
}
WAREHOUSE = {
    "type": "string",
    "description": "Code of the warehouse (mã kho), such as HN01, HCM01 or DN01",
    "pattern": "^[A-Za-z]{2,4}[0-9]{2}$",
}
MESSAGE = {"type": "string", "description": "Text of the reminder", "minLength": 1, "maxLength": 2000}
PASS_TOKEN = {"pass_caller_token": True}


def definitions(base_url: str) -> list[dict[str, Any]]:
    """Return the rows, each as `ToolDefinition` takes it; `base_url` is where the ERP answers, such as
    http://127.0.0.1:8099."""
    base = base_url.rstrip("/")
    return [_debt(base), _invoices(base), _shipment(base), _inventory(base), _reminder(base)]


def _object_schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _debt(base: str) -> dict[str, Any]:
    return {
        "name": "get_customer_debt",
        "kind": "HTTP_GET",
        "description": (
            "What a customer owes now: the debt in all, how much of it is overdue, the credit limit and the open "
            "invoices, in VND. Needs the customer's tax code. (Công nợ, dư nợ, nợ quá hạn của khách hàng theo mã số thuế.)"
        ),
        "endpoint": f"{base}/debts/{{tax_code}}",
        "parameters": _object_schema({"tax_code": TAX_CODE}, "tax_code"),
        "config": PASS_TOKEN,
        "renderer": {"type": "card", "fields": ["customer", "tax_code", "debt", "overdue", "currency", "as_of"]},
        "priority": 300,
    }


def _invoices(base: str) -> dict[str, Any]:
    return {
        "name": "list_invoices",
        "kind": "HTTP_GET",
        "description": (
            "The invoices of a customer with date, due date, amount, what is paid and what is open. Needs the customer's "
            "tax code. (Danh sách hóa đơn, hóa đơn chưa thanh toán của khách hàng.)"
        ),
        "endpoint": f"{base}/invoices",
        "parameters": _object_schema({"tax_code": TAX_CODE}, "tax_code"),
        "config": {**PASS_TOKEN, "query": {"tax_code": "tax_code"}, "result": "/invoices"},
        "output_format": "markdown_table",
        "renderer": {
            "type": "table",
            "fields": ["number", "issued", "due", "amount", "paid", "open"],
            "sortable": True,
        },
        "priority": 250,
    }


def _shipment(base: str) -> dict[str, Any]:
    return {
        "name": "get_shipment",
        "kind": "HTTP_GET",
        "description": (
            "Where a shipment is: status, from, to, expected day, packages and weight. Needs the shipment's code. "
            "(Tra cứu vận đơn, lô hàng, đơn hàng đang ở đâu, khi nào giao.)"
        ),
        "endpoint": f"{base}/shipments/{{code}}",
        "parameters": _object_schema({"code": SHIPMENT}, "code"),
        "config": PASS_TOKEN,
        "renderer": {"type": "card", "fields": ["code", "status", "from", "to", "eta"]},
        "priority": 300,
    }


def _inventory(base: str) -> dict[str, Any]:
    return {
        "name": "get_inventory",
        "kind": "HTTP_GET",
        "description": (
            "How much of an article is in stock, by warehouse: on hand, reserved, available. Give the article number, the "
            "warehouse, or both. (Tồn kho, số lượng hàng còn trong kho.)"
        ),
        "endpoint": f"{base}/inventory",
        "parameters": {
            **_object_schema({"sku": SKU, "warehouse": WAREHOUSE}),
            "anyOf": [{"required": ["sku"]}, {"required": ["warehouse"]}],
        },
        "config": {**PASS_TOKEN, "query": {"sku": "sku", "warehouse": "warehouse"}, "result": "/stock"},
        "output_format": "markdown_table",
        "renderer": {"type": "table", "fields": ["sku", "name", "warehouse", "on_hand", "available"], "sortable": True},
        "priority": 300,
    }


def _reminder(base: str) -> dict[str, Any]:
    return {
        "name": "send_reminder",
        "kind": "HTTP_POST",
        "description": (
            "Sends a customer a reminder to pay. It really goes out, so use it only when the user asks for it. Needs the "
            "customer's tax code and the text. (Gửi nhắc nợ, nhắc thanh toán cho khách hàng.)"
        ),
        "endpoint": f"{base}/reminders",
        "parameters": _object_schema({"tax_code": TAX_CODE, "message": MESSAGE}, "tax_code", "message"),
        "config": PASS_TOKEN,
        "renderer": {"type": "card", "fields": ["number", "tax_code", "message"]},
        "priority": 100,
        "side_effects": True,
    }
