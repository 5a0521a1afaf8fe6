"""Certificates are checked before they are stored, and what is refused is told with the reason."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from schema.errors import InputError
from tests.workers.certificates.authority import Authority
from workers.certificates.checking import check_pair, read_key
from workers.certificates.issuing import make_request, make_self_signed
from workers.certificates.names import checked_names, covers

AUTHORITY = Authority()
OTHER = Authority()
PAIR = AUTHORITY.issue("chat.example.com", "*.chat.example.com", "10.0.0.5")
SMALL = rsa.generate_private_key(65537, 1024)

Pair = Callable[[], tuple[str, str]]
PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8)


def protected() -> str:
    key = read_key(PAIR[1])
    return key.private_bytes(*PKCS8, BestAvailableEncryption(b"secret")).decode()


REFUSED: dict[str, tuple[Pair, str, str]] = {
    "another's key": (lambda: (PAIR[0], OTHER.issue("a.example")[1]), "key", "their public keys differ"),
    "no certificate": (lambda: ("hello", PAIR[1]), "certificate", "holds no certificate in PEM"),
    "a cut certificate": (lambda: (PAIR[0][:200], PAIR[1]), "certificate", "can't be read as PEM"),
    "both in one": (lambda: (PAIR[0] + PAIR[1], PAIR[1]), "certificate", "Send the key as `key` alone"),
    "swapped": (lambda: (PAIR[0], PAIR[0]), "key", "a certificate, not a key"),
    "no key": (lambda: (PAIR[0], "hello"), "key", "no private key in PEM"),
    "a passphrase": (lambda: (PAIR[0], protected()), "key", "openssl pkey"),
    "a short key": (lambda: AUTHORITY.issue("a.example", key=SMALL), "key", "has 1024 bits"),
    "a strange key": (
        lambda: (PAIR[0], ed25519.Ed25519PrivateKey.generate().private_bytes(*PKCS8, NoEncryption()).decode()),
        "key",
        "browsers don't take",
    ),
    "over": (lambda: AUTHORITY.issue("a.example", begins=-9, ends=-1), "certificate", "expired on 20"),
    "not begun": (lambda: AUTHORITY.issue("a.example", begins=1), "certificate", "is not valid before 20"),
    "no names": (lambda: AUTHORITY.issue("a.example", bare=True), "certificate", "names no host"),
    "for clients": (
        lambda: AUTHORITY.issue("a.example", use=ExtendedKeyUsageOID.CLIENT_AUTH),
        "certificate",
        "serverAuth",
    ),
    "a foreign chain": (lambda: (PAIR[0] + OTHER.chain, PAIR[1]), "certificate", "issued no Test"),
    "too many": (lambda: (PAIR[0] + OTHER.chain * 10, PAIR[1]), "certificate", "10 at most"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_served_is_refused_with_the_reason(what: str) -> None:
    pair, field, reason = REFUSED[what]
    certificate, key = pair()
    with pytest.raises(InputError) as refused:
        check_pair(certificate, key)
    assert field == refused.value.field
    assert reason in refused.value.message
    assert not key[40:80] or key[40:80] not in refused.value.message


def test_a_chain_is_put_in_order_and_its_root_left_out() -> None:
    leaf = PAIR[0].removesuffix(AUTHORITY.chain)
    checked = check_pair(AUTHORITY.root + AUTHORITY.chain + AUTHORITY.chain + leaf, PAIR[1])
    assert PAIR[0] == checked.chain
    assert ["chat.example.com", "*.chat.example.com", "10.0.0.5"] == checked.names
    assert ("Test intermediate", "ecdsa_p256", []) == (checked.issuer, checked.key_kind, checked.notes)
    assert PAIR[1] not in repr(checked)


def test_what_may_surprise_is_noted() -> None:
    (alone,) = check_pair(PAIR[0].removesuffix(AUTHORITY.chain), PAIR[1]).notes
    assert "Test intermediate, will refuse it" in alone
    self_signed, inside = check_pair(*make_self_signed(["intranet"], days=30, kind="rsa_2048")).notes
    assert "self-signed" in self_signed
    assert "without a domain" in inside


def test_a_signed_request_belongs_to_its_key() -> None:
    made = make_request(["a.example", "10.0.0.5", "::1"], kind="ecdsa_p384", organization="Shop")
    checked = check_pair(AUTHORITY.issue(csr=made.csr)[0], made.key)
    assert (["a.example", "10.0.0.5", "::1"], "ecdsa_p384") == (checked.names, checked.key_kind)


@pytest.mark.parametrize(
    "name", ["", "https://a.example", "a.example:443", "*.*.example", "a b", "münchen.example", "1.2.3"]
)
def test_a_name_that_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="must be a host such as"):
        checked_names(["ok.example", name])


def test_names_are_written_alike() -> None:
    assert ["a.example", "*.b.example", "::1"] == checked_names(["A.example.", "a.example", "*.B.example", "0:0::1"])


def test_a_wildcard_stands_for_one_label() -> None:
    hosts = ("a.b.example", "b.example", "c.a.b.example", "a.b.example.org")
    assert [True, False, False, False] == [covers("*.b.example", host) for host in hosts]
