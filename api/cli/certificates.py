"""`certificates`: what the running API serves TLS with: list, check, upload, make, request, order, replace, renew, delete.

It calls the API as a platform admin: HEADRACE_URL with HEADRACE_ADMIN_KEY, or with HEADRACE_API_KEY, or else the stack that
runs here. `check` looks at files of this machine and calls nobody.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from api.cli.arguments import path_here, positive
from api.cli.client.chat import own_authority
from api.local.errors import LocalError
from api.local.http_client import Client
from api.local.stack import find_running
from api.local.stack_settings import home_from
from workers.certificates.issuing import KeyKind

PATH = "/api/admin/certificates"
TERMS = (
    "The authority in HEADRACE_ACME_DIRECTORY issues certificates to those alone who agree to its terms of service. If you do, "
    "add --accept-terms."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str, *, names: bool = False, key_kind: bool = False) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=summary, description=summary)
        one.add_argument("name", help="the certificate's name here, such as public")
        if names:
            one.add_argument("names", nargs="+", metavar="HOST", help="a host or address that it is for")
        if key_kind:
            one.add_argument("--key-kind", choices=get_args(KeyKind), default="ecdsa_p256", help="the kind of key")
        return one

    listed = actions.add_parser("list", help="list certificates and when they end")
    listed.add_argument("--json", action="store_true", help="print a line of JSON for each")
    check = actions.add_parser("check", help="look at files here: chain, key, names, dates; stores nothing")
    _add_files(check, key=True)
    show = action("show", "print a certificate with its chain in PEM, or its request while it waits")
    show.add_argument("--csr", action="store_true", help="print its request instead")
    _add_files(action("upload", "check a certificate with its key, and serve it"), key=True)
    _add_files(action("replace", "serve another in place of one; without --key for the stored key"), key=False)
    own = action("self-signed", "make a self-signed certificate and serve it", names=True, key_kind=True)
    own.add_argument("--days", type=positive, default=365, help="how long it is valid (default: 365)")
    request = action(
        "request", "make a key, which stays in headrace, and print a request to sign", names=True, key_kind=True
    )
    request.add_argument("--organization", help="the organization that the request names")
    order = action("acme", "have an authority issue it, and renew it in time", names=True)
    order.add_argument(
        "--accept-terms", action="store_true", help="agree to the terms of the authority in HEADRACE_ACME_DIRECTORY"
    )
    action("renew", "make a self-signed one anew, or ask the authority now")
    action("delete", "delete a certificate and its key")


def _add_files(parser: argparse.ArgumentParser, *, key: bool) -> None:
    parser.add_argument(
        "--certificate", type=path_here, required=True, metavar="FILE", help="PEM, with its intermediates"
    )
    parser.add_argument(
        "--key", type=path_here, required=key, metavar="FILE", help="the private key, PEM, no passphrase"
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "check":
        return check(arguments.certificate, arguments.key)
    return asyncio.run(call(arguments))


def check(certificate: Path, key: Path) -> int:
    """Print what a pair is for. Raises InputError, which says what is wrong."""
    from workers.certificates.checking import check_pair

    checked = check_pair(_read(certificate, "x509"), _read(key, "pkey"))
    print(f"for      {', '.join(checked.names)}\nissued   by {checked.issuer}\nkey      {checked.key_kind}")
    print(f"valid    {checked.not_before:%Y-%m-%d} to {checked.not_after:%Y-%m-%d}\nSHA-256  {checked.fingerprint}")
    for note in checked.notes:
        print(f"note     {note}")
    return 0


async def call(arguments: argparse.Namespace) -> int:
    """Do what was asked for with the API, and print what came of it. Raises LocalError."""
    async with Client(*server_and_admin_key(), ca_file=own_authority()) as client:
        match arguments.action:
            case "list":
                return _print_list((await client.get(PATH))["items"], as_json=arguments.json)
            case "delete":
                await client.delete(f"{PATH}/{arguments.name}")
                print(f"{arguments.name} is deleted.")
                return 0
            case "show":
                return _print_pem(await client.get(f"{PATH}/{arguments.name}"), csr=arguments.csr)
            case _:
                return _print_done(arguments.action, await _change(client, arguments))


async def _change(client: Client, arguments: argparse.Namespace) -> dict[str, Any]:
    name = arguments.name
    match arguments.action:
        case "upload":
            return await client.post(PATH, {"name": name} | _files(arguments))
        case "replace":
            return await client.put(f"{PATH}/{name}", _files(arguments))
        case "renew":
            return await client.post(f"{PATH}/{name}/renew", None)
        case "self-signed":
            wanted = {"names": arguments.names, "days": arguments.days, "key_kind": arguments.key_kind}
            return await client.post(f"{PATH}/self-signed", {"name": name} | wanted)
        case "request":
            wanted = {"names": arguments.names, "key_kind": arguments.key_kind}
            wanted |= {"organization": arguments.organization} if arguments.organization else {}
            return await client.post(f"{PATH}/requests", {"name": name} | wanted)
        case _:
            if not arguments.accept_terms:
                raise LocalError(TERMS)
            wanted = {"names": arguments.names, "terms_accepted": arguments.accept_terms}
            return await client.post(f"{PATH}/acme", {"name": name} | wanted)


def _files(arguments: argparse.Namespace) -> dict[str, str]:
    files = {"certificate": _read(arguments.certificate, "x509")}
    return files | ({"key": _read(arguments.key, "pkey")} if arguments.key else {})


def _read(path: Path, reader: str) -> str:
    """Return the text of a file. Raises LocalError; of bytes it says how OpenSSL's `reader` of such things makes it text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        raise LocalError(
            f"{path} is not PEM. If it is DER, `openssl {reader} -inform der -in {path}` prints it as PEM."
        ) from None
    except OSError as error:
        raise LocalError(f"{path} can't be read: {error.strerror}.") from None


def server_and_admin_key() -> tuple[str, str]:
    """Return the server that is meant, and the key of a platform admin. Raises LocalError when there is none."""
    url = os.environ.get("HEADRACE_URL")
    key = os.environ.get("HEADRACE_ADMIN_KEY") or os.environ.get("HEADRACE_API_KEY")
    if url and key:
        return url, key
    if (running := find_running(home_from(os.environ))) and running.admin_key:
        return running.url, running.admin_key
    raise LocalError(
        "There is no server to ask. Set HEADRACE_URL, and HEADRACE_ADMIN_KEY to a platform admin's key; where ./headrace up "
        "runs with stores of your own, HEADRACE_ADMIN_KEY to the key that it printed first."
    )


def read_all(url: str, key: str) -> list[dict[str, Any]]:
    """Return the certificates of a server. Raises LocalError, also for a key that isn't a platform admin's."""

    async def read() -> list[dict[str, Any]]:
        async with Client(url, key, ca_file=own_authority()) as client:
            return (await client.get(PATH))["items"]

    return asyncio.run(read())


def judge(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return a certificate as a line, and what to do about it, empty if nothing is."""
    advice, state = "", describe(item)
    if item["state"] == "expired":
        advice = f"Renew it: {_how(item)}. Delete it if another has taken its place."
    elif item["error"]:
        advice = f"{item['error']} It is tried again at {item['next_try_at']}."
    elif item["not_after"] and _ends_soon(item):
        advice = f"Renew it: {_how(item)}."
    return state, advice


def _ends_soon(item: Mapping[str, Any]) -> bool:
    from workers.certificates.expiry import warn_from

    begins, ends = (datetime.fromisoformat(item[name]) for name in ("not_before", "not_after"))
    return datetime.now(UTC) >= warn_from(begins, ends)


def _how(item: Mapping[str, Any]) -> str:
    if item["origin"] in ("acme", "self_signed"):
        return f"./headrace certificates renew {item['name']}"
    key = "" if item["origin"] == "requested" else " --key FILE"
    return f"./headrace certificates replace {item['name']} --certificate FILE{key}"


def _print_list(items: list[dict[str, Any]], *, as_json: bool) -> int:
    for item in items:
        print(json.dumps(item) if as_json else describe(item))
    if not items and not as_json:
        print("There are no certificates: TLS is not served. ./headrace certificates --help shows how to get one.")
    return 0


def describe(item: Mapping[str, Any]) -> str:
    """Return a certificate as a line."""
    when = "not issued yet"
    if item["not_after"]:
        ends = datetime.fromisoformat(item["not_after"])
        days = (ends - datetime.now(UTC)).days
        when = f"ends {ends:%Y-%m-%d} ({days} days)" if item["state"] == "served" else f"EXPIRED {ends:%Y-%m-%d}"
    trouble = f"  ! {item['error']}" if item["error"] else ""
    return f"{item['name']:<20}  {item['origin']:<11}  {when:<28}  {', '.join(item['names'])}{trouble}"


def _print_pem(item: Mapping[str, Any], *, csr: bool) -> int:
    text = item["csr"] if csr or not item["chain"] else item["chain"]
    if not text:
        raise LocalError(f"{item['name']} has no {'request' if csr else 'certificate yet'}.")
    print(text, end="")
    return 0


def _print_done(action: str, item: Mapping[str, Any]) -> int:
    if action == "request":
        print(item["csr"], end="")
        return 0
    print(describe(item))
    if item["state"] == "waiting":
        print("The scheduler asks the authority within seconds; ./headrace certificates list shows what comes of it.")
    return 0
