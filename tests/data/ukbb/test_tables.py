import gzip

import pandas as pd
import pytest

from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import read_tables
from tests.data.ukbb.downloads import write_table

ROWS = [{"31-0.0": "1", "50-2.0": "180", "31-1.0": ""}, {"31-0.0": "0", "50-2.0": "", "31-1.0": "0"}]


@pytest.fixture
def pseudonymizer(tmp_path):
    return Pseudonymizer(tmp_path / "key")


def dense(table):
    """All cells, blank ones too."""
    return pd.DataFrame({cell: table.column(cell) for cell in sorted(table.columns)}, index=table.subjects)


def read(paths, pseudonymizer, fields=(31, 50)):
    aside = SetAside()
    return read_tables(paths, {(field, visit) for field in fields for visit in range(4)}, pseudonymizer, aside), aside


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.tsv.gz", "t.parquet"])
def test_file_forms_hold_the_same(tmp_path, pseudonymizer, name):
    table, aside = read([write_table(tmp_path / name, ROWS)], pseudonymizer)
    expected, _ = read([write_table(tmp_path / "expected.csv", ROWS)], pseudonymizer)
    pd.testing.assert_frame_equal(dense(table), dense(expected))
    assert dense(table).notna().sum().sum() == 4
    assert aside.frame().empty


def test_only_wanted_fields_are_read(tmp_path, pseudonymizer):
    rows = [{"31-0.0": "1", "131-0.0": "2", "3159-0.0": "3", "nonsense": "4"}]
    table, _ = read([write_table(tmp_path / "t.csv", rows)], pseudonymizer, [31])
    assert list(table.columns) == [(31, 0, 0)]


def test_rows_are_pseudonyms_in_order(tmp_path, pseudonymizer):
    table, _ = read([write_table(tmp_path / "t.csv", ROWS, ids=["9000002", "9000001"])], pseudonymizer)
    assert list(table.subjects) == sorted(map(pseudonymizer, ["9000001", "9000002"]))
    assert table.column(Cell(31, 0, 0))[pseudonymizer("9000002")] == "1"
    assert table.places(31) == [Cell(31, 0, 0), Cell(31, 1, 0)]
    assert table.places(31, [1, 2]) == [Cell(31, 1, 0)]
    assert table.places(99) == []


def test_files_are_joined_on_the_participant(tmp_path, pseudonymizer):
    first = write_table(tmp_path / "a.csv", [{"31-0.0": "1"}, {"31-0.0": "0"}], ids=["9000001", "9000002"])
    second = write_table(
        tmp_path / "b.tsv", [{"f.50.2.0": "170"}, {"f.50.2.0": "160"}], ["9000002", "9000003"], "f.eid"
    )
    table, _ = read([first, second], pseudonymizer)
    both = dense(table).loc[pseudonymizer("9000002")]
    assert both.tolist() == ["0", "170"]
    assert len(table) == 3
    assert pd.isna(table.column(Cell(31, 0, 0))[pseudonymizer("9000003")])


def test_a_cell_in_two_files_may_not_differ(tmp_path, pseudonymizer):
    ids = ["9000001", "9000002", "9000003"]
    first = write_table(tmp_path / "a.csv", [{"31-0.0": "1"}, {"31-0.0": ""}, {"31-0.0": "1"}], ids)
    second = write_table(tmp_path / "b.csv", [{"p31": "1"}, {"p31": "0"}, {"p31": "0"}], ids)
    table, aside = read([first, second], pseudonymizer)
    assert table.column(Cell(31, 0, 0))[pseudonymizer("9000002")] == "0"
    assert aside.subjects == {pseudonymizer("9000003")}
    assert "different values in two tables in field 31, visit 0, position 0" in aside.frame()["reason"][0]


def test_the_same_number_in_two_types_is_no_difference(tmp_path, pseudonymizer):
    frame = pd.DataFrame({"eid": [9000001, 9000002], "p50_i2": [180.0, 171.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    second = write_table(tmp_path / "b.csv", [{"50-2.0": "180"}, {"50-2.0": "170"}], ["9000001", "9000002"])
    table, aside = read([tmp_path / "a.parquet", second], pseudonymizer)
    assert aside.subjects == {pseudonymizer("9000002")}
    assert table.column(Cell(50, 2, 0))[pseudonymizer("9000001")] == "180"


def test_repeated_participant_is_set_aside(tmp_path, pseudonymizer):
    rows = [{"31-0.0": "1"}, {"31-0.0": "1"}, {"31-0.0": "0"}]
    _, aside = read([write_table(tmp_path / "t.csv", rows, ["9000001", "9000001", "9000002"])], pseudonymizer)
    assert aside.subjects == {pseudonymizer("9000001")}
    assert aside.frame()["reason"][0].startswith("2 rows for one participant in table t.csv")


def test_rows_without_id_are_counted(tmp_path, pseudonymizer):
    table, aside = read([write_table(tmp_path / "t.csv", [{"31-0.0": "1"}] * 3, ["9000001", "", ""])], pseudonymizer)
    assert len(table) == 1
    assert "2 rows without a participant id" in aside.frame()["reason"][0]


def test_byte_order_mark_and_windows_lines(tmp_path, pseudonymizer):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbf"eid","31-0.0"\r\n"9000001","1"\r\n')
    table, _ = read([path], pseudonymizer)
    assert dense(table).to_numpy().tolist() == [["1"]]


def test_blank_markers(tmp_path, pseudonymizer):
    table, _ = read([write_table(tmp_path / "t.csv", [{"31-0.0": "NA", "50-2.0": ""}])], pseudonymizer)
    assert dense(table).isna().all(axis=None)


def test_typed_parquet_gives_the_same_rows(tmp_path, pseudonymizer):
    frame = pd.DataFrame({"eid": [9000001, 9000002], "p50_i2": [180.0, None], "p6150_i2": [["1", "4"], None]})
    frame.to_parquet(tmp_path / "t.parquet")
    table, _ = read([tmp_path / "t.parquet"], pseudonymizer, [50, 6150])
    assert dense(table).loc[pseudonymizer("9000001")].tolist() == ["180", "1|4"]
    assert dense(table).loc[pseudonymizer("9000002")].isna().all()


class TestRefusals:
    def test_no_tables(self, pseudonymizer):
        with pytest.raises(ValueError, match=r"at least one table is needed, however: tables=\[\]"):
            read([], pseudonymizer)

    def test_absent_file(self, tmp_path, pseudonymizer):
        with pytest.raises(FileNotFoundError, match=r"no table t\.csv"):
            read([tmp_path / "t.csv"], pseudonymizer)

    @pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
    def test_no_rows(self, tmp_path, pseudonymizer, name):
        if name == "t.csv":
            (tmp_path / name).write_text("eid,31-0.0\n")
        else:
            pd.DataFrame({"eid": [], "p31": []}).to_parquet(tmp_path / name)
        with pytest.raises(ValueError, match=rf"table {name} has 0 rows: pass a table with participants"):
            read([tmp_path / name], pseudonymizer)

    def test_empty_file(self, tmp_path, pseudonymizer):
        (tmp_path / "t.csv").touch()
        with pytest.raises(ValueError, match=r"one participant column .* 0 among 0 columns"):
            read([tmp_path / "t.csv"], pseudonymizer)

    def test_titles_instead_of_numbers(self, tmp_path, pseudonymizer):
        path = write_table(tmp_path / "t.csv", [{"Sex": "Female"}], participant="Participant ID")
        with pytest.raises(ValueError, match="0 among 2 columns: export with field numbers, not titles"):
            read([path], pseudonymizer)

    def test_no_wanted_field(self, tmp_path, pseudonymizer):
        path = write_table(tmp_path / "t.csv", [{"999-0.0": "1"}])
        with pytest.raises(ValueError, match=r"none of the 2 registry fields .*t\.csv"):
            read([path], pseudonymizer)

    def test_cell_twice_in_one_file(self, tmp_path, pseudonymizer):
        path = write_table(tmp_path / "t.csv", [{"31-0.0": "1", "p31": "1"}])
        with pytest.raises(ValueError, match=r"field 31, visit 0, position 0 twice \(columns '31-0.0' and 'p31'\)"):
            read([path], pseudonymizer)

    @pytest.mark.parametrize("last", ["9000002", "9000002,1,2"])
    def test_cut_or_shifted_row(self, tmp_path, pseudonymizer, last):
        (tmp_path / "t.csv").write_text(f"eid,31-0.0\n9000001,1\n{last}\n")
        with pytest.raises(
            ValueError, match=r"table t\.csv has 1 longer or shorter rows, the first in line 3"
        ) as caught:
            read([tmp_path / "t.csv"], pseudonymizer)
        assert "9000002" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("t.parquet", b"PAR1 no"),
            ("t.csv.gz", b"no gzip"),
            ("t.csv.gz", gzip.compress(b"eid,31-0.0\n9000001,1\n" * 3000, mtime=0)[:-40]),
            ("t.csv.gz", gzip.compress(b"eid\n", mtime=0)[:10] + b"\x07" * 40),
            ("t.csv", b"eid,31-0.0\n9000001,\xff\xfe\n"),
        ],
    )
    def test_damaged_file(self, tmp_path, pseudonymizer, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"table {name} cannot be read \(\w+\): it is damaged") as caught:
            read([tmp_path / name], pseudonymizer)
        assert "9000001" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_other_visits_are_not_read(tmp_path, pseudonymizer):
    path = write_table(tmp_path / "t.csv", [{"31-0.0": "1", "31-1.0": "1", "50-2.0": "170", "50-2.1": "171"}])
    table = read_tables([path], {(31, 0), (50, 2)}, pseudonymizer, SetAside())
    assert list(table.columns) == [(31, 0, 0), (50, 2, 0), (50, 2, 1)]
