"""Zips that strangers made: what is honest is unpacked, bombs and traps are refused before they cost anything."""

import io
import os
import stat
import struct
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.tools.documents import sample_files
from tools.documents.blocks import Unreadable
from tools.documents.zips import ZipLimits, check_zip, list_names, unpack

USUAL = ZipLimits()


def packed(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    twice = len({str(name) for name, _ in entries}) < len(entries)
    with pytest.warns(UserWarning, match="Duplicate") if twice else nullcontext():  # noqa: SIM117
        with zipfile.ZipFile(data, "w", method) as container:
            for name, content in entries:
                container.writestr(name, content)
    return data.getvalue()


def code_of(data: bytes, limits: ZipLimits = USUAL) -> str:
    with pytest.raises(Unreadable) as refused:
        check_zip(io.BytesIO(data), limits)
    return refused.value.code


def flagged(data: bytes, flag: int) -> bytes:
    """The zip with a flag set on its first entry, in both of its places."""
    changed = bytearray(data)
    at = data.index(b"PK\x01\x02")
    changed[6] |= flag
    changed[at + 8] |= flag
    return bytes(changed)


def overlapping(entries: int = 50) -> bytes:
    """One packed kernel that many entries point to, as in the densest of the known bombs."""
    one = packed(("a", b"\0" * 1_000_000))
    at = one.index(b"PK\x01\x02")
    end = one.index(b"PK\x05\x06")
    directory = one[at:end] * entries
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, entries, entries, len(directory), at, 0)
    return one[:at] + directory + tail


def lying(data: bytes, size: int) -> bytes:
    """The zip that says of its first entry that it unpacks to `size` bytes."""
    changed = bytearray(data)
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", changed, at + 24, size)
    struct.pack_into("<I", changed, 22, size)
    return bytes(changed)


def test_an_honest_zip_passes_and_is_left_at_its_beginning() -> None:
    file = io.BytesIO(sample_files.make_docx())
    check_zip(file)
    assert 0 == file.tell()
    assert "word/document.xml" in list_names(file)


def test_bombs_are_refused() -> None:
    large = ("a", b"\0" * 30_000_000)
    assert "bomb" == code_of(packed(large))
    assert "bomb" == code_of(packed(large), ZipLimits(max_bytes=1_000_000, max_ratio=10_000))
    assert "bomb" == code_of(overlapping())
    ballast = (zipfile.ZipInfo("b"), os.urandom(500_000))  # the whole is 20 times its size, the one file 1,000 times
    assert "bomb" == code_of(packed(("a", b"\0" * 8_000_000), ballast))


def test_a_page_of_blanks_is_no_bomb() -> None:
    check_zip(io.BytesIO(packed(("a", b" " * 2_000_000))))


@pytest.mark.parametrize("size", [10, 0xFFFFFF])
def test_sizes_that_lie_are_damage(size: int) -> None:
    assert "damaged" == code_of(lying(packed(("a", b"hello" * 1000)), size))


def test_traps_in_an_office_file_are_refused() -> None:
    traps = ("../a", "/a", "C:/a", "a/../../b", "..\\a")
    assert {"damaged"} == {code_of(packed((name, b"x"))) for name in traps}
    assert "damaged" == code_of(packed(("a", b"1"), ("a", b"2")))
    assert "damaged" == code_of(packed(("a", b"1" * 9), method=zipfile.ZIP_LZMA))
    assert "encrypted" == code_of(flagged(packed(("a", b"1")), 1))
    assert "too_large" == code_of(packed(*((str(number), b"") for number in range(1001))))
    assert "damaged" == code_of(b"PK\x03\x04 and nothing")


def test_a_directory_that_would_take_minutes_to_read_is_refused_by_its_length() -> None:
    data = packed(("a", b"1"))
    at = data.index(b"PK\x05\x06")
    lied = data[:at] + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, 3 << 20, 0, 0)
    assert "too_large" == code_of(b"\0" * (3 << 20) + lied)


def unpacked(data: bytes, into: Path, limits: ZipLimits = USUAL) -> list[tuple[str, str]]:
    """Name and content, or the code of the refusal."""
    found = unpack(io.BytesIO(data), into, limits)
    return [(one.name, one.path.read_bytes().decode() if one.path else one.refusal.code) for one in found]


def test_files_are_unpacked_under_names_of_ours(tmp_path: Path) -> None:
    data = packed(
        ("báo cáo/tháng 5.txt", b"one"), ("b\\c.txt", b"two"), ("empty/", b""),
        ("__MACOSX/a.txt", b"no"), (".DS_Store", b"no"), ("x/Thumbs.db", b"no"),
    )  # fmt: skip
    assert [("báo cáo/tháng 5.txt", "one"), ("b/c.txt", "two")] == unpacked(data, tmp_path)
    assert ["0001", "0002"] == sorted(path.name for path in tmp_path.iterdir())


def test_a_name_in_utf_8_that_does_not_say_so_is_read_right(tmp_path: Path) -> None:
    honest = packed(("tiếng việt.txt", b"x"))
    silent = bytearray(honest)
    silent[7] &= 0xF7
    silent[honest.index(b"PK\x01\x02") + 9] &= 0xF7
    assert [("tiếng việt.txt", "x")] == unpacked(bytes(silent), tmp_path)


def test_one_bad_file_does_not_spoil_the_others(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    nested = packed(("a.txt", b"inner"))
    data = packed(
        ("../../etc/passwd", b"x"), (link, b"/etc/passwd"), ("inner.zip", nested), ("a.txt", b"1"), ("a.txt", b"2"),
        ("good.txt", b"good"),
    )  # fmt: skip
    assert [
        ("etc/passwd", "damaged"),
        ("link.txt", "unsupported"),
        ("inner.zip", "unsupported"),
        ("a.txt", "1"),
        ("a.txt", "damaged"),
        ("good.txt", "good"),
    ] == unpacked(data, tmp_path)
    assert ["1", "good"] == sorted(path.read_text() for path in tmp_path.iterdir())


def test_a_damaged_file_in_an_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    data = bytearray(packed(("a.txt", b"hello" * 99), ("b.txt", b"good")))
    data[40] ^= 0xFF
    assert [("a.txt", "damaged"), ("b.txt", "good")] == unpacked(bytes(data), tmp_path)
    assert 1 == len(list(tmp_path.iterdir()))


def test_an_encrypted_file_in_an_archive_is_named(tmp_path: Path) -> None:
    data = flagged(packed(("a.txt", b"x"), ("b.txt", b"good")), 1)
    assert [("a.txt", "encrypted"), ("b.txt", "good")] == unpacked(data, tmp_path)


def test_office_files_in_an_archive_are_no_archives(tmp_path: Path) -> None:
    (one,) = unpack(io.BytesIO(packed(("a.docx", sample_files.make_docx()))), tmp_path)
    assert (None, len(sample_files.make_docx())) == (one.refusal, one.size)


def test_an_archive_that_becomes_too_large_ends_while_it_unpacks(tmp_path: Path) -> None:
    data = packed(("a", bytes(range(128)) * 8000), ("b", bytes(range(128)) * 8000))
    with pytest.raises(Unreadable) as refused:
        unpacked(data, tmp_path, ZipLimits(max_bytes=1_500_000))
    assert "bomb" == refused.value.code
    assert 2_000_000 > sum(path.stat().st_size for path in tmp_path.iterdir())
