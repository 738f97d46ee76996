"""The published definition, flaw by flaw, beside the careful one."""

import pytest

from dymo_med.data.ukbb import When, load_catalogue, load_published_catalogue, read_download
from tests.data.ukbb.downloads import FIRST_ID, person, read_rows, values, write_images, write_table

BRITISH = {"f21000_0_0": "1001"}
EVER = {"labels": ["cad_as_run"], "when": When(timing="ever")}


def published(tmp_path, name, *cells):
    rows = [person(**BRITISH, **change) for change in cells]
    return values(read_rows(tmp_path, rows, published=True, **EVER), name)


def careful(tmp_path, name, *cells):
    return values(read_rows(tmp_path, [person(**BRITISH, **change) for change in cells], names=[name], **EVER), name)


def test_the_75_features_in_published_order(tmp_path):
    download = read_rows(tmp_path, [person(**BRITISH)], published=True, **EVER)
    indices = [load_catalogue().named(name).published_index for name in download.features]
    assert indices == list(range(75))
    assert "angina_diagnosed" in download.features
    assert "age_at_scan_years" not in download.features
    assert download.refused_features == download.absent_features == ()
    assert [column.name for column in download.columns] == list(download.features)


def test_categories_are_those_of_the_careful_catalogue():
    for feature in load_published_catalogue().published():
        assert feature.column().categories == load_catalogue().named(feature.name).column().categories


@pytest.mark.parametrize(
    ("name", "cells", "as_published", "as_default"),
    [
        ("past_tobacco_smoking", {"f1249_2_0": "", "f20116_2_0": "0"}, "on most or all days", None),
        ("alcohol_drinker_status", {"f20117_2_0": ""}, "never", None),
        ("strenuous_sports_duration", {"f1001_2_0": ""}, "no strenuous sports", None),
        ("smoke_exposure_home_h_per_week", {"f1269_2_0": ""}, 7.0, None),
        ("smoke_exposure_home_h_per_week", {"f1269_2_0": "-1"}, None, None),
        ("smoke_exposure_home_h_per_week", {"f1269_2_0": "60"}, None, 60.0),
        ("stroke_diagnosed", {"f6150_2_0": ""}, "no", None),
        ("stroke_diagnosed", {"f4056_2_0": "-3"}, "yes", "no"),
        ("stroke_diagnosed", {"f4056_3_0": "66"}, "yes", "no"),
        ("stroke_diagnosed", {"f6150_3_0": "3"}, "no", "no"),
        ("insulin_ever", {"f6153_3_0": "3"}, "yes", "no"),
        ("hormone_replacement_therapy_ever", {"f31_0_0": "1", "f6153_2_0": ""}, "no", None),
        ("walking_days_per_week", {"f864_2_0": "-2"}, None, "0 days"),
        ("walking_duration_min_per_day", {"f864_2_0": "-2", "f874_2_0": ""}, None, 0.0),
        ("walking_duration_min_per_day", {"f864_2_0": "0", "f874_2_0": ""}, 0.0, 0.0),
        ("systolic_blood_pressure_mmhg", {"f4080_2_0": "", "f4080_2_1": "", "f93_2_0": "150"}, None, 150.0),
        ("systolic_blood_pressure_mmhg", {"f4080_2_0": "600"}, 130.0, 130.0),
        ("diastolic_blood_pressure_mmhg", {"f4079_2_0": "900"}, 900.0, None),
        ("pwa_stroke_volume_ml", {"f12686_2_0": "60", "f12686_2_1": "80"}, 60.0, 70.0),
        ("weight_kg", {"f21002_2_0": "5"}, 5.0, None),
    ],
)
def test_each_flaw_of_a_feature(tmp_path, name, cells, as_published, as_default):
    assert published(tmp_path, name, cells) == [as_published]
    assert careful(tmp_path, name, cells) == [as_default]


class TestWho:
    ROWS = (person(f21000_0_0="1001"), person(f21000_0_0="1002"), person(f21000_0_0=""), person(f21000_0_0="1001"))

    def read(self, tmp_path, **arguments):
        ids = [str(FIRST_ID + k) for k in range(4)]
        images = write_images(tmp_path / "images", [*ids[:3], "9000099"])
        table = write_table(tmp_path / "t.csv", list(self.ROWS))
        return read_download([table], images, key_file=tmp_path / "key", labels=["cad_as_run"], **arguments)

    def test_british_with_row_and_image_alone(self, tmp_path):
        download = self.read(tmp_path, published=True, when=When(timing="ever"))
        assert len(download.features) == len(download.images) == 1
        assert sorted(download.set_aside["reason"].str.split(":").str[0]) == [
            "no code 1001 in field 21000, visit 0",
            "no code 1001 in field 21000, visit 0",
            "no image in the image folder",
            "no row in the tables",
        ]

    def test_everybody_by_default(self, tmp_path):
        download = self.read(tmp_path)
        assert (len(download.features), len(download.images)) == (4, 4)

    def test_ethnic_background_is_needed(self, tmp_path):
        with pytest.raises(ValueError, match="published cohort keeps participants by field 21000, which is in none"):
            read_rows(tmp_path, [person()], published=True, **EVER)
