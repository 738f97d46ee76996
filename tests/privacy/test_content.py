"""What is found in one file, and what is not."""

import pytest

from dymo_med.privacy import Bounds, examine
from tests.privacy.samples import CLEAN, DICOM, FOUND, ID, IDS, database, packed, parquet

BOUNDS = Bounds()


@pytest.mark.parametrize("case", FOUND)
def test_what_must_not_be_shared_is_found(case):
    name, content, kind = FOUND[case]
    found = examine(name, content, BOUNDS)
    assert kind in [finding.kind for finding in found], found


@pytest.mark.parametrize("case", FOUND)
def test_no_finding_repeats_an_id(case):
    name, content, _ = FOUND[case]
    for finding in examine(name, content, BOUNDS):
        line = str(finding.at(f"data/{ID}/{name}"))
        assert not any(str(number) in line for number in IDS)
        assert line.startswith("data/#######/")
        assert "\n" not in line


@pytest.mark.parametrize("case", CLEAN)
def test_what_may_be_shared_is_not_found(case):
    name, content = CLEAN[case]
    assert examine(name, content, BOUNDS) == []


def test_finding_tells_line_and_count():
    (finding,) = examine("a.txt", f"first\nsecond {IDS[0]}, {IDS[1]}\n{IDS[2]}\n".encode(), BOUNDS)
    assert (finding.line, finding.why) == (2, "3 number(s) like participant ids")


def test_archive_tells_what_it_holds():
    content = packed(a=DICOM, b=DICOM, **{f"{ID}.txt": ID.encode(), "folder/": b""})
    (finding,) = examine("a.zip", content, BOUNDS)
    assert finding.why == "an archive of 3 files, 2 with dicom, 1 with id, 1 with id-in-name"


def test_no_more_than_the_limit_is_unpacked():
    content = packed(a=bytes(5000), b=ID.encode())
    (finding,) = examine("a.zip", content, Bounds(content_bytes=1000))
    assert finding.why == "an archive of 2 files, examined up to 1000 bytes"


def test_part_of_a_large_file_is_said_to_be_a_part():
    (finding,) = examine("a.bin", b"\0" * 10, BOUNDS, n_bytes=11)
    assert (finding.kind, finding.why) == ("unreadable", "11 bytes, of which 10 were examined")


def test_table_size_is_a_choice():
    content = parquet(n=list(range(100)))
    assert [finding.kind for finding in examine("a.parquet", content, Bounds(table_bytes=100))] == ["table"]


@pytest.mark.parametrize(
    ("columns", "rows", "kinds"),
    [
        (["name", "value"], [("loss", 0.5), (None, 0.25)], []),
        (["eid", "value"], [(9_000_001, 0.5)], ["id-column"]),
        (["who", "value"], [(number, 0.5) for number in IDS], ["id-column"]),
        (["key", "value"], [("dataset_dir", f"/data/{ID}/zip")], ["id"]),
        (["key", "value"], [("note", f"/data/{ID}/zip".encode())], ["id"]),
        (["step", "time"], [(number, 1_700_000_000_000 + number) for number in range(20)], []),
        (["eid"], [], []),
    ],
)
def test_stores_are_examined_cell_by_cell(tmp_path, columns, rows, kinds):
    found = examine("mlflow.db", database(tmp_path, columns, rows), BOUNDS)
    assert [finding.kind for finding in found] == kinds
