"""API keys."""

from schema.identity.api_keys import new_api_key, read_api_key


def test_a_new_key_reads_back() -> None:
    key = new_api_key()
    parts = read_api_key(key)
    assert parts is not None
    assert key[3:11] == parts.find
    assert key not in parts.digest


def test_a_mistyped_key_is_rejected() -> None:
    key = new_api_key()
    swapped = key[:20] + key[21] + key[20] + key[22:]
    wrong = [key[:-1], key + "x", "", "hr_", "sk-" + key[3:], key.upper(), key[:20] + "é" + key[21:]]
    assert [] == [k for k in (*wrong, *([swapped] if swapped != key else [])) if read_api_key(k) is not None]


def test_keys_are_unique() -> None:
    assert 100 == len({new_api_key() for _ in range(100)})
