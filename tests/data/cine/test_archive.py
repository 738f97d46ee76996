import stat
import struct
import zipfile

import pytest

from dymo_med.data.cine import IntakeLimits, read_cine
from dymo_med.data.cine.archive import MemberArchive, member_errors, shown
from dymo_med.utils import SubjectError
from tests.data.cine.scans import Heart, members, write_scan, write_zip

SMALL = Heart(n_slices=1, n_phases=6, rows=8, columns=8)


def refused(path, match, **limits):
    with pytest.raises(SubjectError, match=match) as caught:
        read_cine(path, limits=IntakeLimits(**limits))
    assert str(path.parent) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/etc/a.dcm", "../a.dcm", "a/../../b.dcm", "C:\\a.dcm", "..\\a.dcm"])
def test_names_that_leave_the_archive_are_refused(tmp_path, name):
    refused(write_scan(tmp_path / "a.zip", SMALL, extra=[(name, b"x")]), "a name that points outside the archive")


def test_symbolic_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.dcm")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(write_scan(tmp_path / "a.zip", SMALL, extra=[(link, b"/etc/passwd")]), "a symbolic link in .*'link.dcm'")


def test_encrypted_members_are_refused(tmp_path):
    path = write_scan(tmp_path / "a.zip", SMALL)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "encrypted content")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(tmp_path):
    frames = members(SMALL)
    refused(write_zip(tmp_path / "a.zip", [*frames, frames[0]]), "a second member of the same name")


def test_unusual_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.dcm", b"x" * 100)
    refused(tmp_path / "a.zip", "compression method 12 instead of stored or deflate")


def test_bombs_are_refused_by_ratio_size_and_count(tmp_path):
    bomb = write_zip(tmp_path / "bomb.zip", [("a.dcm", bytes(20 << 20))])
    refused(bomb, r"inflation by \d{3,4}, over the limit of 200")
    refused(bomb, "20971520 bytes, over the limit of 1000 for one member", max_member_bytes=1000)
    refused(bomb, "20971\\d+ bytes announced, over the limit of 2000000", max_total_bytes=2_000_000, max_ratio=2000)
    refused(bomb, "2 members, more than the limit of 1", max_members=1)
    refused(bomb, "bytes, over the limit of 1000 in the cine zip", max_total_bytes=1000)


def with_large_end_record(content):
    """The same archive with the end records of large archives, as some tools always write them."""
    end = content.index(b"PK\x05\x06")
    count, n_bytes, offset = struct.unpack_from("<HII", content, end + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, n_bytes, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:end] + record + locator + last


def with_comment(content):
    end = content.index(b"PK\x05\x06")
    return content[: end + 20] + struct.pack("<H", 300) + b"a comment " * 30


@pytest.mark.parametrize("change", [bytes, with_large_end_record, with_comment])
def test_directories_too_long_to_be_counted_are_refused(tmp_path, change):
    path = write_zip(tmp_path / "a.zip", [(f"{n}{'x' * 600}.dcm", b"") for n in range(4)], manifest=False)
    path.write_bytes(change(path.read_bytes()))
    assert len(MemberArchive(path, IntakeLimits(max_members=4)).members) == 4
    refused(path, r"a directory of 26\d\d bytes, too long for the limit of 2 members", max_members=2)


def test_member_without_a_name_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("Z.dcm", b"x")], manifest=False)
    path.write_bytes(path.read_bytes().replace(b"Z.dcm", b"\0.dcm"))
    refused(path, "no name in archive member")


def test_inflated_bytes_are_counted_whatever_the_directory_says(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.dcm", bytes(range(250)) * 4)], manifest=False)
    archive = MemberArchive(path, IntakeLimits(max_total_bytes=1500))
    assert len(archive.read(archive.members[0])) == 1000
    assert archive.read_head(archive.members[0], 400) == bytes(range(250)) + bytes(range(150))
    with pytest.raises(SubjectError, match="2400 bytes inflated, over the limit of 1500"):
        archive.read(archive.members[0])


def test_member_shorter_than_announced_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a.dcm", bytes(range(100)))], manifest=False)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 5000)  # uncompressed size
    path.write_bytes(content)
    archive = MemberArchive(path, IntakeLimits())
    with pytest.raises(SubjectError, match="100 bytes where the directory announces 5000"):
        archive.read(archive.members[0])


@pytest.mark.parametrize("keep", [0, 10, 2000])
def test_truncated_zip_is_refused(tmp_path, keep):
    path = write_scan(tmp_path / "a.zip", SMALL)
    path.write_bytes(path.read_bytes()[:keep])
    refused(path, "no readable archive directory .* in the cine zip: the file is truncated")


def test_absent_zip_is_the_subjects_fault(tmp_path):
    refused(tmp_path / "none.zip", "unreadable file .No such file or directory. in the cine zip")


def test_foreign_text_is_one_short_ascii_line_without_registry_numbers():
    assert shown("a\nb") == "'a\\nb'"
    assert shown("1234567_20209_2_0") == "'#######_20209_2_0'"
    assert shown("1.3.12.12345678.5") == "'1.3.12.12345678.5'"
    assert shown("é" * 3) == "'\\xe9\\xe9\\xe9'"
    assert len(shown("x" * 500)) == 62


@pytest.mark.parametrize("error", [RecursionError, MemoryError, KeyError, zipfile.BadZipFile])
def test_any_decoder_failure_names_the_member_and_not_its_content(error):
    with (
        pytest.raises(
            SubjectError, match=rf"unreadable content \({error.__name__}\) in archive member 'm.dcm'"
        ) as caught,
        member_errors("m.dcm"),
    ):
        raise error("secret")
    assert "secret" not in str(caught.value)


def test_limits_must_be_positive_integers():
    with pytest.raises(ValueError, match="max_ratio must be a positive integer, however: max_ratio=0"):
        IntakeLimits(max_ratio=0)
