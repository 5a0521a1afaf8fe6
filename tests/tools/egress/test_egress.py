"""Whom the egress guard lets out to: hostile URLs reach nothing, what an admin allowed is reached by its own name."""

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schema.errors import EgressFailed, EgressRefused
from tests.tools.egress_servers import ConnectionTrap, ResponseServer, resolve_test_names, serve_page_over_tls
from tests.tools.hostile.urls import HOSTILE, REACHABLE_WHEN_ALLOWED
from tests.waiting import PATIENCE_S
from tools.egress import EgressPolicy, EgressTransport, fetch_json, open_client, parse_url
from tools.egress.addresses import is_public

TLS = httpx2.create_ssl_context(trust_env=False)
"""Made once: it takes longer than a test."""

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1"))


@pytest.fixture
async def trap() -> AsyncIterator[ConnectionTrap]:
    async with ConnectionTrap().listening() as trap:
        yield trap


@pytest.fixture
async def answers() -> AsyncIterator[ResponseServer]:
    async with ResponseServer() as server:
        yield server


def open_policy(trap: ConnectionTrap) -> EgressPolicy:
    """As lax as one can be without naming an address: only the address itself can be what is refused."""
    return EgressPolicy(
        allow_http=True, ports=frozenset({trap.port, 80, 443}), timeout_s=PATIENCE_S, connect_timeout_s=PATIENCE_S
    )


def allowing(server: ResponseServer) -> EgressPolicy:
    return EgressPolicy(
        allowed_hosts=frozenset({f"127.0.0.1:{server.port}"}), timeout_s=PATIENCE_S, connect_timeout_s=PATIENCE_S
    )


def test_there_are_at_least_sixty_hostile_urls() -> None:
    assert len(set(HOSTILE)) >= 60


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
async def test_a_hostile_url_is_refused_and_connects_to_nothing(trap: ConnectionTrap, url: str) -> None:
    async with open_client(open_policy(trap), resolver=resolve_test_names, ssl_context=TLS) as client:
        with pytest.raises(EgressRefused) as refused:
            await client.get(url.replace("{port}", str(trap.port)), params={"token": "canary"})
    assert 0 == trap.connections
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("url", HOSTILE, ids=ascii)
async def test_the_bare_transport_refuses_it_as_well(trap: ConnectionTrap, url: str) -> None:
    """As Authlib uses it: without the client's own checks."""
    transport = EgressTransport(open_policy(trap), resolver=resolve_test_names, ssl_context=TLS)
    async with httpx2.AsyncClient(transport=transport) as client:
        with pytest.raises((EgressRefused, httpx2.InvalidURL)):
            await client.get(url.replace("{port}", str(trap.port)).replace("\\", "%5C"))
    assert 0 == trap.connections


@pytest.mark.parametrize("url", REACHABLE_WHEN_ALLOWED, ids=ascii)
async def test_the_trap_catches_what_the_guard_lets_through(trap: ConnectionTrap, url: str) -> None:
    policy = replace(open_policy(trap), allowed_networks=LOOPBACK)
    async with open_client(policy, resolver=resolve_test_names) as client:
        assert 200 == (await client.get(url.replace("{port}", str(trap.port)))).status_code
    assert 1 == trap.connections


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_this_machine_is_not_followed(
    trap: ConnectionTrap, answers: ResponseServer, status: int, follow: bool
) -> None:
    answers.redirect_to = f"http://127.0.0.1:{trap.port}/?token=canary"
    policy = replace(allowing(answers), allow_http=True, ports=frozenset({trap.port}))
    async with open_client(policy) as client:
        if follow:
            with pytest.raises(EgressRefused):
                await client.post(f"{answers.url}/redirect/{status}", follow_redirects=True)
        else:
            assert status == (await client.post(f"{answers.url}/redirect/{status}")).status_code
    assert 0 == trap.connections


@pytest.mark.parametrize("location", ["http://[", "http://a:b/", "\\\\127.0.0.1\\", "gopher://a/"])
async def test_a_redirect_that_cant_be_read_is_a_failure_of_ours(answers: ResponseServer, location: str) -> None:
    answers.redirect_to = location
    async with open_client(allowing(answers)) as client:
        with pytest.raises(EgressFailed):
            await fetch_json(client, f"{answers.url}/redirect/302")


async def test_a_name_is_resolved_once_so_that_it_cannot_change_after_the_check(trap: ConnectionTrap) -> None:
    asked = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    network = (ipaddress.ip_network("127.0.0.2"),)
    async with open_client(EgressPolicy(allowed_networks=network), resolver=rebinding) as client:
        await client.get(f"http://flips.example:{trap.port}/")
        assert (["flips.example"], 1) == (asked, trap.connections)
        with pytest.raises(EgressRefused):
            await client.get(f"http://flips.example:{trap.port}/")
    assert (2, 1) == (len(asked), trap.connections)


async def test_an_address_that_does_not_answer_gives_way_to_the_next(answers: ResponseServer) -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with open_client(EgressPolicy(allowed_networks=LOOPBACK), resolver=two) as client:
        host = f"two.example:{answers.port}"
        assert {"host": host} == await fetch_json(client, f"http://{host}/json")


async def test_https_checks_the_certificate_against_the_name_and_connects_to_the_checked_address(
    tmp_path: Path,
) -> None:
    asked: list[str | None] = []
    server, client_side = certified("erp.internal", tmp_path)
    server.sni_callback = lambda _, name, __: asked.append(name)
    policy = EgressPolicy(allowed_networks=LOOPBACK)

    async def home(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with (
        serve_page_over_tls(server) as port,
        open_client(policy, resolver=home, ssl_context=client_side) as client,
    ):
        assert {} == await fetch_json(client, f"https://erp.internal:{port}/")
        with pytest.raises(EgressFailed, match=r"other\.internal can't be reached: .*Hostname mismatch"):
            await fetch_json(client, f"https://other.internal:{port}/")
    assert ["erp.internal", "other.internal"] == asked


@pytest.mark.parametrize(
    ("allow", "url", "reached"),
    [
        ("erp.internal", "http://erp.internal:{port}/json", True),
        ("ERP.Internal.", "http://erp.INTERNAL.:{port}/json", True),
        ("erp.internal:{port}", "http://erp.internal:{port}/json", True),
        ("erp.internal:1", "http://erp.internal:{port}/json", False),
        ("internal", "http://erp.internal:{port}/json", False),
        ("127.0.0.1", "http://erp.internal:{port}/json", True),
        ("127.0.0.0/8", "http://127.0.0.1:{port}/json", True),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}/json", True),
        ("127.0.0.1:1", "http://127.0.0.1:{port}/json", False),
        ("10.0.0.0/8, ::1", "http://127.0.0.1:{port}/json", False),
        ("bücher.example", "http://xn--bcher-kva.example:{port}/json", True),
        ("", "http://127.0.0.1:{port}/json", False),
    ],
)
async def test_an_admin_allows_hosts_ports_and_networks(
    answers: ResponseServer, allow: str, url: str, reached: bool
) -> None:
    async def home(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    policy = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": allow.replace("{port}", str(answers.port))})
    async with open_client(policy, resolver=home) as client:
        if reached:
            assert "host" in await fetch_json(client, url.replace("{port}", str(answers.port)))
        else:
            with pytest.raises(EgressRefused, match="HEADRACE_EGRESS_ALLOW"):
                await fetch_json(client, url.replace("{port}", str(answers.port)))
    assert int(reached) == len(answers.requests)


@pytest.mark.parametrize(
    "entry",
    [
        *("http://erp.internal", "erp.internal/", "*.internal", "10.1.2.3/16", "10.1.0.0/40", "erp:0", "erp:70000"),
        *("user@erp", "[::1", "erp:", "::1%lo", "fe80::1%lo", "[zz]:1", "erp\\x", "@", ":80", "a b"),
    ],
)
def test_a_wrong_entry_is_refused_with_the_setting_and_what_is_right(entry: str) -> None:
    with pytest.raises(
        ValueError, match=r"HEADRACE_EGRESS_ALLOW contains .*; it must list hosts, host:port or networks"
    ):
        EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": f"fine.internal, {entry}"})


@pytest.mark.parametrize(
    ("scheme", "port", "allow_http", "admitted"),
    [
        *[("https", 443, False, True), ("https", 8443, False, True), ("https", 22, False, False)],
        *[("http", 80, False, False), ("http", 443, False, False), ("https", 80, False, False)],
        *[("http", 80, True, True), ("http", 6379, True, False)],
    ],
)
def test_public_hosts_are_called_over_https_at_its_usual_ports(
    scheme: str, port: int, allow_http: bool, admitted: bool
) -> None:
    policy = EgressPolicy(allow_http=allow_http)
    addresses = [ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address("2606:4700::1111")]
    if admitted:
        policy.check(scheme, "one.example", port, addresses)
    else:
        with pytest.raises(EgressRefused, match=r"^one\.example may .*HEADRACE_EGRESS_ALLOW"):
            policy.check(scheme, "one.example", port, addresses)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *[("1.1.1.1", True), ("2606:4700:4700::1111", True), ("::ffff:1.1.1.1", True), ("64:ff9b::101:101", True)],
        *[("168.63.129.16", False), ("192.0.0.192", False), ("192.88.99.1", False), ("224.0.0.1", False)],
        *[("64:ff9b::7f00:1", False), ("64:ff9b:1::101:101", False), ("2002:101:101::", False)],
        *[("fec0::1", False), ("ff0e::1", False), ("3fff::1", False), ("::1.1.1.1", False)],
    ],
)
def test_public_means_more_than_is_global(address: str, public: bool) -> None:
    assert public == is_public(ipaddress.ip_address(address))


async def test_authlib_takes_the_guard_as_its_transport(trap: ConnectionTrap, answers: ResponseServer) -> None:
    transport = EgressTransport(replace(allowing(answers), allow_http=True, ports=frozenset({trap.port})))
    async with AsyncOAuth2Client("id", "secret", token={"access_token": "t"}, transport=transport) as client:
        assert "Bearer t" == (await client.get(f"{answers.url}/echo")).json()["authorization"]
        with pytest.raises(EgressRefused):
            await client.fetch_token(f"http://127.0.0.1:{trap.port}/token", code="x")
    assert 0 == trap.connections


@pytest.mark.parametrize(
    "url", ["https://user:canary@a.example/", "https://a.example\\", "ftp://a.example", "https://["]
)
def test_an_address_is_refused_when_it_is_given_not_when_it_is_used(url: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        parse_url(url)
    assert "canary" not in refused.value.message
    assert "a.example" == parse_url("https://a.example/hook?x=1").host


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize(
    ("granted", "host", "address", "allowed"),
    [
        ((), "127.0.0.1", "127.0.0.1", False),
        (("127.0.0.1",), "127.0.0.1", "127.0.0.1", True),
        (("127.0.0.1:81",), "127.0.0.1", "127.0.0.1", False),
        (("10.0.0.0/8",), "127.0.0.1", "127.0.0.1", False),
        (("10.0.0.0/8",), "10.9.9.9", "10.9.9.9", False),  # granted, but the operator's setting does not list it
        (("10.1.0.0/16",), "erp.internal", "10.1.2.3", True),
        (("erp.internal",), "erp.internal", "10.1.2.3", True),
        (("other.internal",), "erp.internal", "10.1.2.3", False),
        ((), "erp.internal", "10.1.2.3", False),
    ],
)
def test_a_tenant_reaches_what_the_setting_lists_and_it_was_granted(
    granted: tuple[str, ...], host: str, address: str, allowed: bool
) -> None:
    setting = EgressPolicy.from_env({"HEADRACE_EGRESS_ALLOW": "127.0.0.1,10.1.0.0/16"})
    policy = setting.for_tenant(granted)
    if allowed:
        policy.check("http", host, 80, [ip_address(address)])
        return
    with pytest.raises(EgressRefused, match=r"is not a public address.*operator.*platform admin"):
        policy.check("http", host, 80, [ip_address(address)])
    policy.check("https", "one.example", 443, [ip_address("93.184.216.34")])


def test_a_private_address_is_refused_as_one_before_its_scheme_or_port_is() -> None:
    for scheme, port in (("http", 80), ("http", 6379), ("https", 22)):
        with pytest.raises(EgressRefused, match="not a public address"):
            EgressPolicy().check(scheme, "intranet.example", port, [ip_address("10.0.0.7")])
