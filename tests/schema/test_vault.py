"""Secrets at rest: what opens, what doesn't, and that nothing is told on the way."""

import base64
import json
import traceback
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from schema.errors import HeadraceError, SecretUnreadable
from schema.vault import PLATFORM, Sealed, Vault, new_secret_key, read_keys_file

TENANT, OWNER = uuid4(), uuid4()
CANARY = "sk-canary-8d1f"
OLD, NEW = new_secret_key(), new_secret_key()


def as_key(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


@pytest.fixture
def vault() -> Vault:
    return Vault([NEW, OLD])


@pytest.mark.parametrize("secret", [CANARY, "", "khóa bí mật 🔑", "a\x00b", "\ud800", '{"secret": "x"}', "x" * 100_000])
def test_what_was_sealed_opens_again(vault: Vault, secret: str) -> None:
    sealed = vault.seal(secret, tenant_id=TENANT, owner_id=OWNER)
    assert secret == vault.open(sealed, tenant_id=TENANT, owner_id=OWNER)
    assert vault.newest == sealed.key_id


def test_the_same_secret_never_looks_the_same(vault: Vault) -> None:
    assert 2 == len({vault.seal(CANARY, tenant_id=PLATFORM, owner_id=OWNER).sealed for _ in range(2)})


@pytest.mark.parametrize(
    ("tenant_id", "owner_id"),
    [(uuid4(), OWNER), (TENANT, uuid4()), (OWNER, TENANT), (PLATFORM, OWNER), (TENANT, PLATFORM)],
    ids=["other tenant", "other owner", "swapped", "platform's tenant", "platform's owner"],
)
def test_a_ciphertext_copied_to_another_row_does_not_open(vault: Vault, tenant_id: UUID, owner_id: UUID) -> None:
    sealed = vault.seal(CANARY, tenant_id=TENANT, owner_id=OWNER)
    for use in (vault.open, vault.reseal):
        with pytest.raises(SecretUnreadable, match="for another row"):
            use(sealed, tenant_id=tenant_id, owner_id=owner_id)


@pytest.mark.parametrize(
    "change", [lambda _: b"", lambda c: c[:-1], lambda c: c[:40], lambda c: c + b"A", lambda _: b"\xff\x00"]
)
def test_a_damaged_ciphertext_does_not_open(vault: Vault, change) -> None:
    sealed = vault.seal(CANARY, tenant_id=TENANT, owner_id=OWNER)
    with pytest.raises(SecretUnreadable, match="damaged"):
        vault.open(replace(sealed, sealed=change(sealed.sealed)), tenant_id=TENANT, owner_id=OWNER)


def test_a_change_of_any_byte_is_noticed(vault: Vault) -> None:
    sealed = vault.seal("x", tenant_id=TENANT, owner_id=OWNER)
    raw = base64.urlsafe_b64decode(sealed.sealed)
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(SecretUnreadable):
            vault.open(Sealed(sealed.key_id, base64.urlsafe_b64encode(changed)), tenant_id=TENANT, owner_id=OWNER)


def test_a_key_that_is_not_known_is_named(vault: Vault) -> None:
    other = Vault([new_secret_key()])
    sealed = other.seal(CANARY, tenant_id=TENANT, owner_id=OWNER)
    with pytest.raises(SecretUnreadable, match=f"The key '{other.newest}' of a stored secret is not known"):
        vault.open(sealed, tenant_id=TENANT, owner_id=OWNER)
    with pytest.raises(SecretUnreadable, match="damaged"):  # and neither does it help to say that it was ours
        vault.open(replace(sealed, key_id=vault.newest), tenant_id=TENANT, owner_id=OWNER)


@pytest.mark.parametrize(
    "inside",
    [b"sk-bare", b"\xff", b"[]", b"{}", json.dumps({"tenant_id": str(TENANT), "owner_id": str(OWNER)}).encode()],
)
def test_a_text_that_names_no_owner_does_not_open(vault: Vault, inside: bytes) -> None:
    sealed = Sealed(vault.newest, Fernet(NEW).encrypt(inside))
    with pytest.raises(SecretUnreadable, match="damaged"):
        vault.open(sealed, tenant_id=TENANT, owner_id=OWNER)


def test_an_error_carries_nothing_of_the_secret(vault: Vault) -> None:
    bare = Sealed(vault.newest, Fernet(NEW).encrypt(CANARY.encode()))
    bound = vault.seal(CANARY, tenant_id=TENANT, owner_id=OWNER)
    for sealed in (bare, bound):
        with pytest.raises(SecretUnreadable) as caught:
            vault.open(sealed, tenant_id=TENANT, owner_id=PLATFORM)
        assert caught.value.__context__ is None  # the JSON parser's error would hold the whole text
        told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
        assert CANARY not in told
        assert sealed.sealed.decode() not in told


def test_neither_vault_nor_sealed_show_what_they_hold(vault: Vault) -> None:
    sealed = vault.seal(CANARY, tenant_id=TENANT, owner_id=OWNER)
    assert f"Sealed(key_id='{vault.newest}')" == repr(sealed)
    assert f"Vault(key_ids=['{vault.key_ids[0]}', '{vault.key_ids[1]}'])" == repr(vault)
    assert [] == [key for key in (NEW, OLD) if key in f"{vault!r} {vault} {vault.key_ids}"]


def test_the_error_belongs_to_the_tree() -> None:
    assert issubclass(SecretUnreadable, HeadraceError)
    assert "secret_unreadable" == SecretUnreadable.code


def test_resealing_moves_a_secret_to_the_newest_key(vault: Vault) -> None:
    sealed = Vault([OLD]).seal(CANARY, tenant_id=TENANT, owner_id=OWNER)
    assert not vault.is_current(sealed.key_id)
    fresh = vault.reseal(sealed, tenant_id=TENANT, owner_id=OWNER)
    assert vault.is_current(fresh.key_id)
    assert CANARY == Vault([NEW]).open(fresh, tenant_id=TENANT, owner_id=OWNER)


def test_a_key_has_the_same_id_wherever_it_stands() -> None:
    assert Vault([OLD, NEW]).key_ids == Vault([NEW, OLD]).key_ids[::-1]
    assert "630dcd2966c4" == Vault([as_key(bytes(range(32)))]).newest  # sha256sum of the bytes 00 01 … 1f


def test_ids_that_are_not_known_are_all_named(vault: Vault) -> None:
    vault.check_known([])
    vault.check_known(iter(vault.key_ids))
    with pytest.raises(ValueError, match=r"unknown keys: aaaaaaaaaaaa, bbbbbbbbbbbb\. The known keys are ") as caught:
        vault.check_known(["bbbbbbbbbbbb", vault.newest, "aaaaaaaaaaaa", "bbbbbbbbbbbb"])
    assert "HEADRACE_SECRET_KEYS_FILE" in str(caught.value)


def test_keys_come_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# newest first\n\n{NEW}  # made today\n  {OLD}\n")
    assert [NEW, OLD] == read_keys_file(file)
    expected = Vault([NEW, OLD]).key_ids
    assert (
        expected == Vault.from_env({"HEADRACE_SECRET_KEYS": f"{NEW}, {OLD}", "HEADRACE_SECRET_KEYS_FILE": ""}).key_ids
    )
    assert expected == Vault.from_env({"HEADRACE_SECRET_KEYS_FILE": str(file)}).key_ids


BAD = {
    "a passphrase": ("correct horse battery staple", "key 1 is not a valid key"),
    "31 bytes": (as_key(bytes(range(31))), "key 1 is not a valid key"),
    "64 bytes": (as_key(bytes(range(64))), "key 1 is not a valid key"),
    "not ascii": ("chìa khóa", "key 1 is not a valid key"),
    "zeros": (as_key(bytes(32)), "key 1 is not random"),
    "one byte": (as_key(b"k" * 32), "key 1 is not random"),
    "one word": (as_key(b"changeme" * 4), "key 1 is not random"),
    "a comma too many": (f"{NEW},", "key 2 is not a valid key"),
    "one twice": (f"{NEW},{OLD},{NEW}", "key 3 is a duplicate of key 1"),
}


@pytest.mark.parametrize(("value", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_key_is_refused_by_its_place_and_not_repeated(value: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(value.rstrip(",").replace(",", "\n"))
    settings = {"HEADRACE_SECRET_KEYS": value}
    if not value.endswith(","):
        settings["HEADRACE_SECRET_KEYS_FILE"] = str(file)
    for name, text in settings.items():
        with pytest.raises(ValueError, match=f"^{name}: {sentence}") as caught:
            Vault.from_env({name: text})
        told = "".join(traceback.format_exception(caught.value))
        assert [] == [part for part in value.split(",") if part and part in told]


def test_the_sentence_about_a_bad_key_says_how_to_make_a_good_one() -> None:
    for env in ({}, {"HEADRACE_SECRET_KEYS": ""}, {"HEADRACE_SECRET_KEYS": "x"}):
        with pytest.raises(ValueError, match=r"\./headrace rotate-keys --new"):
            Vault.from_env(env)
    with pytest.raises(ValueError, match="there is no key"):
        Vault([])


def test_two_settings_for_the_keys_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="HEADRACE_SECRET_KEYS and HEADRACE_SECRET_KEYS_FILE are both set"):
        Vault.from_env({"HEADRACE_SECRET_KEYS": NEW, "HEADRACE_SECRET_KEYS_FILE": str(tmp_path)})


def test_a_file_that_cannot_be_read_is_told_without_its_name(tmp_path: Path) -> None:
    """A key that was put into the wrong setting would be shown otherwise."""
    for place in (NEW, str(tmp_path)):
        with pytest.raises(ValueError, match=r"^HEADRACE_SECRET_KEYS_FILE: the file can't be read \(") as caught:
            Vault.from_env({"HEADRACE_SECRET_KEYS_FILE": place})
        assert place not in "".join(traceback.format_exception(caught.value))
    (tmp_path / "empty").write_text("# none yet\n")
    with pytest.raises(ValueError, match=r"^HEADRACE_SECRET_KEYS_FILE: there is no key"):
        Vault.from_env({"HEADRACE_SECRET_KEYS_FILE": str(tmp_path / "empty")})


def test_a_key_that_comes_into_the_file_is_known_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, old, new = tmp_path / "keys", new_secret_key(), new_secret_key()
    file.write_text(old)
    running, owner = Vault.from_env({"HEADRACE_SECRET_KEYS_FILE": str(file)}), uuid4()
    before = running.seal("hush", tenant_id=PLATFORM, owner_id=owner)
    file.write_text(f"{new}\n{old}\n")
    elsewhere = Vault([new, old]).seal("hush", tenant_id=PLATFORM, owner_id=owner)
    assert "hush" == running.open(elsewhere, tenant_id=PLATFORM, owner_id=owner)
    assert "hush" == running.open(before, tenant_id=PLATFORM, owner_id=owner)
    assert elsewhere.key_id == running.seal("hush", tenant_id=PLATFORM, owner_id=owner).key_id
    monkeypatch.setattr("schema.vault.RELOAD_INTERVAL_S", 0.0)
    file.write_text("not a key")
    assert elsewhere.key_id == running.seal("hush", tenant_id=PLATFORM, owner_id=owner).key_id
