"""What tells that a source has changed: its content, which a zip lists at its end."""

import os
import zipfile

import pytest

from dymo_med.data.frames.sources import find_absent, source_keys

MEMBERS = {"a.dcm": b"end-diastole" * 50, "b.dcm": b"end-systole." * 50}
STAMP = (2026, 1, 2, 3, 4, 6)


def write_zip(path, members=MEMBERS, comment=b""):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name, STAMP), content)
        file.comment = comment
    return path


def image_key(path, **settings):
    return source_keys(path, settings).image


def write_at(path, place, content):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


def test_a_change_of_any_member_name_or_setting_changes_the_key(tmp_path):
    key = image_key(write_zip(tmp_path / "scan.zip"), size=128)
    assert image_key(write_zip(tmp_path / "moved.zip"), size=128) == key
    flipped = MEMBERS | {"b.dcm": MEMBERS["b.dcm"][:-1] + b"!"}
    renamed = {"a.dcm": MEMBERS["a.dcm"], "c.dcm": MEMBERS["b.dcm"]}
    others = [image_key(write_zip(tmp_path / "other.zip", members), size=128) for members in (flipped, renamed)]
    others += [image_key(tmp_path / "scan.zip", size=64)]
    assert len({key, *others}) == 4


def test_only_the_directory_of_a_zip_is_read(tmp_path):
    """Images that were made stand when bytes of a member rot; that reading fails shows only where it is done again."""
    path = write_zip(tmp_path / "scan.zip")
    key = image_key(path)
    write_at(path, 100, b"????")
    assert image_key(path) == key


@pytest.mark.parametrize("kind", ["comment", "something before", "cut", "no zip", "directory elsewhere"])
def test_all_of_any_other_file_is_read(tmp_path, kind):
    path = write_zip(tmp_path / "scan.zip", comment=b"scan" if kind == "comment" else b"")
    content = path.read_bytes()
    if kind == "something before":
        path.write_bytes(b"stub" * 100 + content)
    elif kind == "cut":
        path.write_bytes(content[:-30])
    elif kind == "no zip":
        path.write_bytes(MEMBERS["a.dcm"])
    elif kind == "directory elsewhere":
        write_at(path, content.index(b"PK\x01\x02"), b"????")
    key = image_key(path)
    write_at(path, 100, b"????")
    assert image_key(path) != key


@pytest.mark.parametrize("content", [b"", b"PK", zipfile.ZipFile.__name__.encode(), b"PK\x05\x06" + bytes(18)])
def test_short_files_have_keys(tmp_path, content):
    (tmp_path / "scan.zip").write_bytes(content)
    (tmp_path / "other.zip").write_bytes(content + b"x")
    assert image_key(tmp_path / "scan.zip") != image_key(tmp_path / "other.zip")


def test_times_count_for_failures_alone(tmp_path):
    path = write_zip(tmp_path / "scan.zip")
    before = source_keys(path, {})
    os.utime(path, ns=(1, 1))
    after = source_keys(path, {})
    assert after.image == before.image
    assert after.failure != before.failure


def test_files_that_are_not_there(tmp_path):
    (entry,) = find_absent({"S1": tmp_path / "none.zip", "S2": write_zip(tmp_path / "scan.zip")})
    assert (entry.subject_id, entry.row) == ("S1", -1)
    assert "none.zip" not in entry.problem
    assert source_keys(tmp_path / "none.zip", {}) is None
