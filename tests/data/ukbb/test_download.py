import json
import logging
import re

import pandas as pd
import pytest

from dymo_med.data.ukbb import Pseudonymizer, Tier, load_catalogue, read_download
from tests.data.ukbb.downloads import (
    FIRST_ID,
    PARTICIPANT,
    TITLES,
    collapse,
    in_order,
    person,
    read_rows,
    rename,
    values,
    write_images,
    write_table,
)

ROWS = [
    person(),
    person(f31_0_0="1", f6153_2_0="", f6177_2_0="1", f6177_2_1="3", f6177_2_2=""),
    person(f6150_2_0="1", f6150_2_1="4", f41270_0_0="I251", f41280_0_0="2010-02-03"),
    person(f41270_0_0="J459", f41270_0_1="I214", f41280_0_0="2020-01-01", f41280_0_1="2011-01-01"),
    person(f41270_0_0="", f41280_0_0="", f4080_2_0="", f50_2_0=""),
    person(f6153_2_0="4", f6153_2_1="5", f6153_0_0="1", f41270_0_1="I259", f41280_0_1="2019-01-01"),
]
IDS = [str(FIRST_ID + k) for k in range(len(ROWS))]


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images", IDS)


def read(tmp_path, table, **arguments):
    return read_download([table], tmp_path / "images", key_file=tmp_path / "key", **arguments)


def assert_same(first, second):
    pd.testing.assert_frame_equal(first.features, second.features)
    pd.testing.assert_frame_equal(first.labels, second.labels)
    assert first.columns == second.columns


class TestDialects:
    @pytest.fixture
    def expected(self, tmp_path):
        write_images(tmp_path / "images", IDS)
        download = read(tmp_path, write_table(tmp_path / "classic.csv", ROWS))
        assert values(download, "cad") == [0, 0, 1, 1, 0, None]
        assert values(download, "insulin_ever") == ["no", "yes", "no", "no", "no", "no"]
        assert values(download, "standing_height_cm") == [165.0] * 4 + [None, 165.0]
        return download

    @pytest.mark.parametrize("dialect", list(TITLES))
    def test_one_column_a_cell(self, tmp_path, expected, dialect):
        table = write_table(tmp_path / "t.csv", rename(ROWS, dialect), participant=PARTICIPANT.get(dialect, "eid"))
        assert_same(read(tmp_path, table), expected)

    @pytest.mark.parametrize("form", ["bar", "json", "python"])
    @pytest.mark.parametrize(("prefix", "participant"), [("", "eid"), ("participant.", "participant.eid")])
    def test_lists_in_one_cell(self, tmp_path, expected, form, prefix, participant):
        rows = collapse(ROWS, form, prefix)
        assert f"{prefix}p41270" in rows[0]
        assert f"{prefix}p41280_a1" in rows[3]
        assert_same(read(tmp_path, write_table(tmp_path / "t.csv", rows, participant=participant)), expected)

    @pytest.mark.parametrize("name", ["t.parquet", "t.tsv.gz"])
    def test_file_forms(self, tmp_path, expected, name):
        assert_same(read(tmp_path, write_table(tmp_path / name, collapse(ROWS, "bar"))), expected)

    def test_several_files(self, tmp_path, expected):
        first = [{title: value for title, value in row.items() if title < "4"} for row in ROWS]
        second = [{title: value for title, value in row.items() if title >= "4"} for row in ROWS]
        tables = [write_table(tmp_path / "a.csv", first), write_table(tmp_path / "b.csv", rename(second, "x"))]
        assert_same(read_download(tables, tmp_path / "images", key_file=tmp_path / "key"), expected)

    def test_order_of_rows_does_not_matter(self, tmp_path, expected):
        assert_same(read(tmp_path, write_table(tmp_path / "t.csv", ROWS[::-1], ids=IDS[::-1])), expected)


class TestFrames:
    def test_features_and_columns_agree(self, tmp_path):
        download = read_rows(tmp_path, ROWS)
        assert list(download.features.columns) == [column.name for column in download.columns]
        assert download.features.index.name == "subject_id"
        assert download.features.index.is_monotonic_increasing
        for column in download.columns:
            if column.kind == "categorical":
                assert set(download.features[column.name].dropna()) <= set(column.categories)
            else:
                assert download.features[column.name].dtype == "float64"
        assert set(download.labels.dtypes.astype(str)) == {"Int8"}
        assert download.labels.index.equals(download.features.index)
        assert list(download.labels) == ["cad", "infarction"]

    def test_features_without_a_column_are_left_out_and_named(self, tmp_path, caplog):
        with caplog.at_level(logging.WARNING):
            download = read_rows(tmp_path, ROWS)
        assert "weight_kg" in download.absent_features
        assert not set(download.absent_features) & set(download.features.columns)
        assert len(download.absent_features) + len(download.columns) == 59
        assert "have no column in the tables and are left out" in caplog.text

    def test_names_give_exactly_these_columns(self, tmp_path):
        download = read_rows(tmp_path, ROWS, names=["weight_kg", "sex", "sleeplessness", "stroke_diagnosed"])
        assert list(download.features) == ["weight_kg", "sex", "sleeplessness", "stroke_diagnosed"]
        assert download.features[["weight_kg", "sleeplessness"]].isna().all(axis=None)
        assert download.absent_features == ()

    def test_consequences_are_off_by_default(self, tmp_path):
        assert "cholesterol_medication_ever" not in read_rows(tmp_path, ROWS).features
        asked = read_rows(tmp_path, ROWS, tiers=[Tier.CONSEQUENCE])
        assert values(asked, "cholesterol_medication_ever") == ["no", "yes", "no", "no", "no", "yes"]
        assert "sex" not in asked.features

    def test_angina_cannot_be_asked_for(self, tmp_path):
        with pytest.raises(ValueError, match="define a label cannot be inputs"):
            read_rows(tmp_path, ROWS, names=["angina_diagnosed"])

    def test_own_catalogue(self, tmp_path):
        (tmp_path / "own.yaml").write_text(
            "version: 1\nfeatures:\n"
            "  - {name: grip_kg, title: Grip, kind: continuous, rule: number, tier: measurement, family: hand,\n"
            "     fields: [46], unit: kg, range: [1, 90]}\n"
        )
        rows = [row | {"46-2.0": str(20 + k)} for k, row in enumerate(ROWS)]
        download = read_rows(tmp_path, rows, features=tmp_path / "own.yaml")
        assert values(download, "grip_kg") == [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]
        assert values(download, "cad") == [0, 0, 1, 1, 0, None]
        assert len(load_catalogue().features) == 77


class TestImages:
    def test_row_without_image_and_image_without_row(self, tmp_path):
        write_images(tmp_path / "images", [IDS[0], "9000099"])
        download = read(tmp_path, write_table(tmp_path / "t.csv", ROWS))
        assert len(download.features) == 6
        assert len(download.images) == 2
        assert len(set(download.images) & set(download.features.index)) == 1
        assert {path.name[:7] for path in download.images.values()} == {IDS[0], "9000099"}

    @pytest.mark.usefixtures("images")
    def test_two_zips_of_one_subject(self, tmp_path):
        write_images(tmp_path / "images" / "again", [IDS[1]])
        download = read(tmp_path, write_table(tmp_path / "t.csv", ROWS))
        assert len(download.images) == len(download.features) == 5
        assert download.set_aside[["stage", "reason"]].to_numpy().tolist() == [
            ["image", "2 zips of one subject in the image folder, short axis, visit 2: keep one"]
        ]

    @pytest.mark.usefixtures("images")
    def test_other_visits_and_fields_are_not_taken(self, tmp_path):
        write_images(tmp_path / "images", ["9000050"], visit=3)
        (tmp_path / "images" / "9000051_20208_2_0.zip").touch()
        assert len(read(tmp_path, write_table(tmp_path / "t.csv", ROWS)).images) == 6

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no image folder images"):
            read(tmp_path, write_table(tmp_path / "t.csv", ROWS))

    @pytest.mark.usefixtures("images")
    def test_no_zips(self, tmp_path):
        with pytest.raises(ValueError, match=r"names end in _20209_3_0\.zip\), however: 0 found"):
            read(tmp_path, write_table(tmp_path / "t.csv", ROWS), visit=3)

    @pytest.mark.usefixtures("images")
    def test_nobody_in_common(self, tmp_path):
        table = write_table(tmp_path / "t.csv", ROWS, ids=[str(9100000 + k) for k in range(6)])
        with pytest.raises(ValueError, match="none of 6 rows has one of 6 images: take both from the same application"):
            read(tmp_path, table)


class TestSubjects:
    @pytest.mark.usefixtures("images")
    def test_repeated_row_costs_the_subject(self, tmp_path):
        download = read(tmp_path, write_table(tmp_path / "t.csv", [*ROWS, ROWS[0]], ids=[*IDS, IDS[0]]))
        assert len(download.features) == len(download.labels) == len(download.images) == 5
        assert download.set_aside["reason"][0].startswith("2 rows for one participant")

    @pytest.mark.usefixtures("images")
    def test_withdrawn_are_nowhere(self, tmp_path):
        rows = [*ROWS, ROWS[0], person(f50_2_0="tall")]
        ids = [*IDS, IDS[0], "9000070"]
        (tmp_path / "w.csv").write_text(f"{IDS[0]}\n{IDS[2]}\n9000070\n9999999\n")
        download = read(tmp_path, write_table(tmp_path / "t.csv", rows, ids=ids), withdrawn=[tmp_path / "w.csv"])
        assert download.n_withdrawn == 3
        assert len(download.features) == len(download.images) == 4
        assert download.set_aside.empty

    def test_all_set_aside(self, tmp_path):
        with pytest.raises(ValueError, match="all 2 participants are set aside, 1 of them for this reason: "):
            read_rows(tmp_path, [person(f50_2_0="tall"), person(f31_0_0="7")])

    def test_first_reason_counts_once(self, tmp_path):
        download = read_rows(tmp_path, [person(f50_2_0="tall", f31_0_0="7"), person()])
        assert len(download.set_aside) == 1

    def test_same_key_same_pseudonyms(self, tmp_path, images):
        table = write_table(tmp_path / "t.csv", ROWS)
        first, second = read(tmp_path, table), read(tmp_path, table)
        other = read_download([table], images, key_file=tmp_path / "other")
        assert_same(first, second)
        assert not set(first.features.index) & set(other.features.index)


class TestDisclosure:
    REGISTRY_ID = re.compile(r"(?<![0-9a-f])9\d{6}(?!\d)")

    def test_no_registry_id_in_what_is_returned_or_logged(self, tmp_path, caplog):
        caplog.set_level(logging.DEBUG)
        download = read_rows(tmp_path, [*ROWS, person(f50_2_0="tall"), person(f31_0_0="9")])
        texts = [repr(download), caplog.text, download.set_aside.to_csv()]
        texts += [frame.to_csv() for frame in (download.features, download.labels, download.label_counts)]
        for text in texts:
            assert not self.REGISTRY_ID.search(text)
            assert str(tmp_path) not in text
        assert self.REGISTRY_ID.search(str(download.images[in_order(download)[0]]))

    @pytest.mark.parametrize("rows", [[person(f31_0_0="Female")] * 3, [person(f50_2_0="tall")] * 3])
    def test_no_registry_id_in_errors(self, tmp_path, rows):
        with pytest.raises(ValueError, match="field") as caught:
            read_rows(tmp_path, rows)
        assert not self.REGISTRY_ID.search(str(caught.value))


class TestScanned:
    def test_who_was_not_scanned_is_set_aside(self, tmp_path):
        write_images(tmp_path / "images", IDS[:2])
        rows = [row | {"53-2.0": "" if k in (0, 5) else "2015-03-15"} for k, row in enumerate(ROWS)]
        download = read(tmp_path, write_table(tmp_path / "t.csv", rows))
        assert len(download.features) == 5
        assert len(download.images) == 2
        assert download.set_aside[["stage", "reason"]].to_numpy().tolist() == [
            ["visit", "no image and no date of the visit in field 53, visit 2: not scanned"]
        ]

    def test_without_the_field_nobody_is(self, tmp_path):
        write_images(tmp_path / "images", IDS[:2])
        rows = [{key: value for key, value in row.items() if key != "53-2.0"} for row in ROWS]
        assert len(read(tmp_path, write_table(tmp_path / "t.csv", rows), labels=[]).features) == 6


class TestTwoApplications:
    OTHER = tuple(str(9500001 + k) for k in range(len(IDS)))

    @pytest.fixture
    def table(self, tmp_path):
        write_images(tmp_path / "images", self.OTHER)
        pairs = zip(IDS, self.OTHER, strict=True)
        (tmp_path / "bridge.csv").write_text("".join(f"{table},{image}\n" for table, image in pairs))
        return write_table(tmp_path / "t.csv", ROWS)

    def test_bridge_brings_them_together(self, tmp_path, table):
        with pytest.raises(ValueError, match="or pass the bridge between the two"):
            read(tmp_path, table)
        download = read(tmp_path, table, bridge=tmp_path / "bridge.csv")
        assert set(download.images) == set(download.features.index)
        pseudonymizer = Pseudonymizer(tmp_path / "key")
        for table_id, image_id in zip(IDS, self.OTHER, strict=True):
            assert download.images[pseudonymizer(table_id)].name.startswith(image_id)

    @pytest.mark.parametrize("ids", [IDS, OTHER])
    def test_withdrawn_under_either_id(self, tmp_path, table, ids):
        (tmp_path / "w.txt").write_text(f"{ids[0]}\n{ids[3]}\n")
        download = read(tmp_path, table, bridge=tmp_path / "bridge.csv", withdrawn=[tmp_path / "w.txt"])
        assert download.n_withdrawn == 2
        gone = {Pseudonymizer(tmp_path / "key")(IDS[k]) for k in (0, 3)}
        assert not gone & {*download.images, *download.features.index, *download.set_aside["subject_id"]}

    def test_withdrawn_image_that_the_bridge_lacks(self, tmp_path, table):
        write_images(tmp_path / "images", ["9500099"])
        (tmp_path / "w.txt").write_text("9500099\n")
        download = read(tmp_path, table, bridge=tmp_path / "bridge.csv", withdrawn=[tmp_path / "w.txt"])
        assert download.set_aside.empty
        assert len(download.images) == 6


class TestRecord:
    def test_counts_can_be_written_as_json(self, tmp_path):
        record = json.loads(json.dumps(read_rows(tmp_path, [*ROWS, person(f4080_2_0="900")]).record()))
        assert record["n_withdrawn"] == 0
        assert record["label_status"]["cad"]["positive"] == 2
        assert record["features"]["systolic_blood_pressure_mmhg"]["out_of_range"] == 1
        assert {"label": "cad", "source": "self-report (field 6150)", "cases": 1, "only_source": 0} in record[
            "label_evidence"
        ]
        assert record["refused_features"] == []

    @pytest.mark.usefixtures("images")
    def test_text_ids_cost_their_rows(self, tmp_path):
        ids = [*IDS[:5], "1e+06"]
        download = read(tmp_path, write_table(tmp_path / "t.csv", ROWS, ids=ids))
        assert len(download.features) == 5
        assert download.set_aside["reason"].tolist() == [
            "a participant id that is no whole number in table t.csv: export it again, without rounding the ids"
        ]

    @pytest.mark.usefixtures("images")
    def test_a_table_of_other_ids_is_refused(self, tmp_path):
        table = write_table(tmp_path / "t.csv", ROWS, ids=["a", "b", "c", "d", *IDS[:2]])
        with pytest.raises(ValueError, match=r"must hold whole numbers, however: 4 of 6 ids are other text"):
            read(tmp_path, table)

    def test_a_minority_of_decoded_answers_is_refused(self, tmp_path):
        rows = [person(f1160_2_0="7")] * 8 + [person(f1160_2_0="Prefer not to answer")] * 2
        with pytest.raises(ValueError, match="2 of 10 filled cells hold the meaning of a code"):
            read_rows(tmp_path, rows)

    def test_own_catalogue_extends_that_of_the_package(self, tmp_path):
        (tmp_path / "own.yaml").write_text(
            "version: 1\nextends: package\nfeatures:\n"
            "  - {name: standing_height_cm, range: [100, 164]}\n"
            "  - {name: grip_kg, title: Grip, kind: continuous, rule: number, tier: measurement, family: hand,\n"
            "     fields: [46], unit: kg, range: [1, 90]}\n"
        )
        rows = [row | {"46-2.0": str(20 + k)} for k, row in enumerate(ROWS)]
        download = read_rows(tmp_path, rows, features=tmp_path / "own.yaml")
        assert values(download, "grip_kg") == [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]
        assert values(download, "standing_height_cm") == [None] * 6
        assert "sex" in download.features
