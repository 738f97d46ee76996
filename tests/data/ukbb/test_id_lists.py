import gzip

import pytest

from dymo_med.data.ukbb.id_lists import read_bridge, read_relatives, read_withdrawn
from dymo_med.data.ukbb.pseudonyms import Pseudonymizer


def written(tmp_path, text, name="list.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


class TestWithdrawn:
    @pytest.mark.parametrize("text", ["9000001\n9000002\n", "eid\n9000001\n9000002\n", "9000001,x\r\n\n9000002,y"])
    def test_forms(self, tmp_path, text):
        assert read_withdrawn([written(tmp_path, text)]) == {"9000001", "9000002"}

    def test_several_lists(self, tmp_path):
        lists = [written(tmp_path, "9000001\n", "a.txt"), written(tmp_path, "9000002\n", "b.txt")]
        assert read_withdrawn(lists) == {"9000001", "9000002"}

    def test_line_without_id(self, tmp_path):
        with pytest.raises(ValueError, match=r"a withdrawal list holds one id a line, however: list\.csv line 3"):
            read_withdrawn([written(tmp_path, "eid\n9000001\nsomeone\n")])

    def test_absent(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no file w\.csv for a withdrawal list"):
            read_withdrawn([tmp_path / "w.csv"])

    @pytest.mark.parametrize(
        "content", [b"\x1f\x8bx", gzip.compress(b"9000001\n" * 999, mtime=0)[:-9], gzip.compress(b"\xff\n", mtime=0)]
    )
    def test_damaged_lists_are_refused_in_one_line(self, tmp_path, content):
        (tmp_path / "w.csv.gz").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"a withdrawal list must be a text file, however: w\.csv\.gz cannot be read"
        ):
            read_withdrawn([tmp_path / "w.csv.gz"])


class TestBridge:
    @pytest.mark.parametrize("text", ["a,b\n9000001,9500001\n", "9000001 9500001\n", '"9000001"\t"9500001"\r\n\n'])
    def test_forms(self, tmp_path, text):
        assert read_bridge(written(tmp_path, text)) == {"9500001": "9000001"}

    @pytest.mark.parametrize(
        ("text", "side"),
        [("9000001,9500001\n9000001,9500002\n", "tables"), ("9000001,9500001\n9000002,9500001\n", "images")],
    )
    def test_every_id_once(self, tmp_path, text, side):
        with pytest.raises(ValueError, match=rf"1 of 2 lines of list\.csv repeat an id of the {side}") as caught:
            read_bridge(written(tmp_path, text))
        assert "9000001" not in str(caught.value)

    def test_line_with_one_id(self, tmp_path):
        with pytest.raises(ValueError, match=r"a bridge holds two ids a line, however: list\.csv line 2"):
            read_bridge(written(tmp_path, "9000001,9500001\n9000002\n"))


class TestRelatives:
    def test_chains_are_one_group_whatever_the_order_of_lines(self, tmp_path):
        pseudonymizer = Pseudonymizer(tmp_path / "key")
        lines = ["9000001 9000002 0.1", "9000003 9000004 0.2", "9000002 9000005 0.2"]
        first = read_relatives(written(tmp_path, "ID1 ID2 Kinship\n" + "\n".join(lines)), pseudonymizer)
        second = read_relatives(written(tmp_path, "\n".join(lines[::-1])), pseudonymizer)
        assert first.sort_index().equals(second.sort_index())
        members = {frozenset(part.index) for _, part in first.groupby(first)}
        chain, pair = ["9000001", "9000002", "9000005"], ["9000003", "9000004"]
        assert members == {frozenset(map(pseudonymizer, chain)), frozenset(map(pseudonymizer, pair))}
