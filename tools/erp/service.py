"""The ERP over HTTP: small JSON answers, and problems (RFC 9457) for what went wrong.

GET  /health                          without a token
GET  /debts/{tax_code}                what a customer owes
GET  /invoices?tax_code=              their invoices
GET  /shipments/{code}                one shipment
GET  /shipments?tax_code=             a customer's shipments
GET  /inventory?sku=&warehouse=       stock; one of the two at least
POST /reminders {tax_code, message}   sends a reminder, once for each Idempotency-Key
GET  /reminders                       those that the caller's tenant sent
"""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from tools.erp import ledger
from tools.erp.authentication import Authenticator, Caller, KeySetCache, KeysUnavailable, Unauthenticated
from tools.erp.reminders import IdempotencyKeyReused, Reminders

MAX_BODY_BYTES = 16 * 1024
MAX_DISCARDED_BYTES = 1024 * 1024
"""How much of an oversized body is read and discarded, so that a client that is still writing sees the response."""

MAX_MESSAGE = 2000
IDLE_S = 30.0
TAX_CODE = re.compile(r"[0-9]{10}(-[0-9]{3})?")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    409: "Idempotency-Key reused",
    413: "Too large",
    503: "Keys unavailable",
}


class Problem(Exception):
    """An error response."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Erp(ThreadingHTTPServer):
    """The server; `serve_forever()` runs it. Port 0 picks a free one."""

    daemon_threads = True

    def __init__(
        self, keys: KeySetCache, *, issuer: str, port: int, host: str = "127.0.0.1", audience: str = ""
    ) -> None:
        """`audience` is what tokens must name; '' is the address at which this server answers."""
        self.reminders = Reminders()
        super().__init__((host, port), _Handler)
        own = self.url.partition("://")[2]
        self.authenticator = Authenticator(keys, issuer=issuer, audience=audience or own)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "erp"
    sys_version = ""
    timeout = IDLE_S

    @property
    def _erp(self) -> Erp:
        assert isinstance(self.server, Erp)
        return self.server

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """URLs contain tax codes, so requests are not logged."""

    def _handle(self, method: str) -> None:
        try:
            body = self._read_body()
            path, _, query = self.path.partition("?")
            if (method, path) == ("GET", "/health"):
                return self._send(200, {"status": "ok"})
            caller = self._erp.authenticator.find(self.headers.get("Authorization"))
            steps = [unquote(step) for step in path.strip("/").split("/")]
            status, found = self._route(method, steps, dict(parse_qsl(query)), body, caller)
            self._send(status, found)
        except Unauthenticated:
            self._problem(Problem(401, "Send a valid access token as `Authorization: Bearer …`."))
        except KeysUnavailable:
            self._problem(Problem(503, "The keys that tokens are checked with can't be fetched; try again later."))
        except Problem as problem:
            self._problem(problem)

    def _route(
        self, method: str, steps: list[str], query: dict[str, str], body: bytes, caller: Caller
    ) -> tuple[int, Any]:
        if steps == ["reminders"]:
            if method == "POST":
                return self._send_reminder(body, caller)
            return 200, {"reminders": self._erp.reminders.list(caller.tenant_id)}
        if method != "GET":
            raise Problem(405, "Only /reminders accepts POST.")
        return 200, _look_up(steps, query)

    def _send_reminder(self, body: bytes, caller: Caller) -> tuple[int, Any]:
        try:
            reminder_request = json.loads(body)
        except (ValueError, RecursionError):
            raise Problem(400, "The body is not JSON.") from None
        match reminder_request:
            case {"tax_code": str(code), "message": str(message), **rest} if (
                not rest and 0 < len(message) <= MAX_MESSAGE
            ):
                code = _known_customer({"tax_code": code})
            case _:
                raise Problem(400, f"Send tax_code and message (1 to {MAX_MESSAGE} characters), and nothing else.")
        key = self.headers.get("Idempotency-Key", "")
        if key and not IDEMPOTENCY_KEY.fullmatch(key):
            raise Problem(400, "Idempotency-Key must have 1 to 255 visible characters.")
        try:
            reminder, new = self._erp.reminders.send(caller.tenant_id, code, message, key)
        except IdempotencyKeyReused:
            raise Problem(409, "This Idempotency-Key was used with a different reminder before.") from None
        return (201 if new else 200), reminder

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit() or int(length[:10]) > MAX_BODY_BYTES:
            self.close_connection = True
            self.rfile.read(min(int(length[:10]), MAX_DISCARDED_BYTES) if length.isdigit() else 0)
            raise Problem(413, f"Send a body with a Content-Length of at most {MAX_BODY_BYTES:,} bytes.")
        return self.rfile.read(int(length))

    def _send(self, status: int, body: Any, content_type: str = "application/json") -> None:
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _problem(self, problem: Problem) -> None:
        body = {"title": TITLES[problem.status], "status": problem.status, "detail": problem.detail}
        self._send(problem.status, body, "application/problem+json")


def _look_up(steps: list[str], query: dict[str, str]) -> dict[str, Any]:
    """Look up what a GET requests. Raises Problem."""
    match steps:
        case ["debts", code]:
            return _require_found(ledger.find_debt(_valid_tax_code(code)), "customer")
        case ["shipments", code]:
            return _require_found(ledger.find_shipment(code), "shipment")
        case ["invoices"]:
            return {"invoices": ledger.list_invoices(_known_customer(query))}
        case ["shipments"]:
            return {"shipments": ledger.list_shipments(_known_customer(query))}
        case ["inventory"]:
            return {"stock": _list_stock(query)}
    raise Problem(404, "There is no such path.")


def _valid_tax_code(code: str) -> str:
    if not TAX_CODE.fullmatch(code):
        raise Problem(400, "tax_code (MST) has 10 digits, or 10 and -3, such as 0104985841.")
    return code


def _known_customer(query: dict[str, str]) -> str:
    code = _valid_tax_code(query.get("tax_code", ""))
    _require_found(ledger.find_customer(code), "customer")
    return code


def _list_stock(query: dict[str, str]) -> list[dict[str, Any]]:
    sku, warehouse = query.get("sku", ""), query.get("warehouse", "")
    if not sku and not warehouse:
        raise Problem(400, "Name a sku or a warehouse.")
    return ledger.list_stock(sku, warehouse)


def _require_found(found: dict[str, Any] | None, what: str) -> dict[str, Any]:
    if found is None:
        raise Problem(404, f"There is no such {what}.")
    return found
