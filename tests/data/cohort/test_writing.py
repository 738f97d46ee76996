"""Who comes into a cohort, who is set aside and why, and what is written."""

import json
import resource
import statistics

import numpy as np
import pandas as pd
import pytest

from dymo_med.data.cohort import Cohort
from dymo_med.tabular import Column
from tests.data.cohort.conftest import COLUMNS, image_of


def reasons(cohort):
    return {row.subject_id: (row.stage, row.reason) for row in cohort.set_aside.itertuples()}


def test_everything_is_written(raw):
    cohort = raw.write()
    assert sorted(path.name for path in cohort.folder.iterdir()) == [
        ".lock",
        "cohort.json",
        "cohort.parquet",
        "datalist.json",
        "frames",
        "qc.parquet",
        "schema.json",
    ]
    about = json.loads((cohort.folder / "cohort.json").read_text())
    digests = about.pop("digests")
    assert sorted(digests) == ["frames", "schema", "split", "subjects"]
    assert about == {
        "format": "dymo_med cohort",
        "version": 2,
        "n_subjects": 10,
        "n_per_split": {"test": 2, "train": 6, "val": 2},
        "n_without_image": 0,
        "n_without_table": 0,
        "n_per_label": {"cad": {"0": 5, "1": 4, "missing": 1}},
        "n_out_of_range": {},
        "n_set_aside": {},
        "data_kind": "simulated",
        "image": {"shape": [3, 8, 8], "spacing_mm": 1.8},
        "source": {},
    }
    quality = cohort.quality
    assert quality.columns.tolist() == [
        *["subject_id", "included", "has_image", "has_table", "stage", "reason"],
        *["slice_index", "confidence", "findings"],
    ]
    assert quality["subject_id"].tolist() == sorted(raw.images)
    subjects = pd.read_parquet(cohort.folder / "cohort.parquet")
    assert subjects.columns.tolist() == ["subject_id", "split", "label_cad", "sex", "age_years"]


def test_the_schema_knows_training_rows_only(raw):
    raw.features.loc["S8", "age_years"] = 109
    age = raw.write().schema.columns[1]
    ages = [float(value) for value in raw.features["age_years"][:6]]
    assert age.statistics == pytest.approx((statistics.mean(ages), statistics.stdev(ages)))


def test_one_modality_is_enough(raw):
    raw.features = raw.features.drop(index=["S0"])
    raw.features.loc["S1"] = None
    raw.labels = raw.labels.drop(index=["S0"])
    del raw.images["S2"]
    cohort = raw.write()
    assert len(cohort) == 10
    about = json.loads((cohort.folder / "cohort.json").read_text())
    assert (about["n_without_image"], about["n_without_table"]) == (1, 2)


def test_every_fault_of_a_subject_is_a_reason(raw, tmp_path):
    raw.features.loc["S0", "sex"] = "unknown"
    raw.features.loc["S1"] = None
    del raw.images["S1"]
    np.save(raw.images["S2"], np.zeros(1))
    raw.images["S3"] = tmp_path / "absent.zip"
    raw.labels = raw.labels.astype(object)
    raw.labels.loc["S4", "cad"] = "perhaps"
    raw.labels.loc["S5", "cad"] = 0.5
    raw.features = pd.concat([raw.features, raw.features.loc[["S6"]]])
    raw.labels.loc["S77"] = [1]
    earlier = pd.DataFrame({"subject_id": ["S7"], "stage": ["withdrawn"], "reason": ["consent withdrawn"]})
    raw.splits[:] = "train"
    cohort = raw.write(set_aside=earlier)
    assert list(cohort.subjects.index) == ["S8", "S9"]
    assert reasons(cohort) == {
        "S0": (
            "table",
            "unknown category 'unknown' in table column 'sex': use one of 'female', 'male' or leave the cell empty",
        ),
        "S1": ("cohort", "neither an image nor an observed table cell: nothing to predict from"),
        "S2": ("image", "no pixel data in the zip: export it again"),
        "S3": ("image", "no file can be opened (No such file or directory) in the image source: check that it exists"),
        "S4": ("label", "label 'cad' is 'perhaps': write a whole number from 0 or leave it empty"),
        "S5": ("label", "label 'cad' is '0.5': write a whole number from 0 or leave it empty"),
        "S6": ("table", "2 rows in the table of features: keep one row"),
        "S7": ("withdrawn", "consent withdrawn"),
        "S77": ("cohort", "neither an image nor an observed table cell: nothing to predict from"),
    }
    about = json.loads((cohort.folder / "cohort.json").read_text())
    assert about["n_set_aside"] == {"cohort": 2, "image": 2, "label": 2, "table": 2, "withdrawn": 1}


def test_a_repeated_label_row_sets_aside(raw):
    raw.labels = pd.concat([raw.labels, raw.labels.loc[["S6"]]])
    assert reasons(raw.write())["S6"] == ("table", "2 rows in the table of labels: keep one row")


def test_implausible_values_are_missing_and_counted(raw):
    raw.features.loc["S9", "age_years"] = 300
    cohort = raw.write()
    assert np.isnan(cohort.subjects.loc["S9", "age_years"])
    assert json.loads((cohort.folder / "cohort.json").read_text())["n_out_of_range"] == {"age_years": 1}


def test_a_trained_schema_is_applied_as_it_is(raw):
    trained = raw.write().schema
    raw.features["age_years"] = 50.0
    cohort = raw.write("new", schema=trained, splits=None, labels=None)
    assert cohort.schema == trained
    assert cohort.splits == ["new"]
    assert cohort.tasks == []


def test_running_again_changes_nothing_and_reads_nothing(raw):
    first = raw.write()
    done = []
    second = raw.write(progress=lambda *counts: done.append(counts))
    assert done == []
    assert second.digest == first.digest


def test_an_interrupted_rewrite_is_no_cohort(raw):
    folder = raw.write().folder

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raw.write(image_spacing_mm=2.0, progress=stop)
    with pytest.raises(FileNotFoundError, match="no complete cohort"):
        Cohort(folder)
    assert len(raw.write(image_spacing_mm=2.0)) == 10


def test_a_cohort_without_images_or_labels(raw):
    cohort = raw.write(images={}, labels=None)
    assert cohort.items("train")[0]["image"] is None
    assert cohort.image_shape == (3, 8, 8)
    assert not cohort.quality["has_image"].any()


def test_a_full_disk_is_one_clear_line(raw):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"cannot write part-001-of-001-\w+.npy \(File too large\); nothing half-written"
        ):
            raw.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(raw.write()) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 0}, r"image_size must be a positive integer, however: image_size=0"),
        ({"image_spacing_mm": -1.0}, r"image_spacing_mm must be positive and finite, however: image_spacing_mm=-1.0"),
        ({"data_kind": " "}, r"data_kind must be 'simulated' or name the source, however: data_kind=' '"),
        ({"splits": None}, r"fitted on table rows of split 'train', however: none among splits \{'new': 10\}"),
        ({"splits": pd.Series({"S0": "train"})}, r"one split, however: 9 of 10 have none or two"),
        ({"features": pd.DataFrame({"age_year": [1]}, index=["S0"])}, r"'age_year' \(do you mean 'age_years'\?\)"),
        (
            {"features": pd.DataFrame(columns=["age_years", "sex"]), "images": {}, "labels": None},
            r"none is left, set aside by stage \{\}; first: no subject was given",
        ),
        (
            {"columns": (*COLUMNS, Column(name="label_x", kind="continuous"))},
            r"must not be named subject_id, image, split or label_..., however: \['label_x'\]",
        ),
    ],
)
def test_whole_cohort_refusals(raw, change, message):
    with pytest.raises(ValueError, match=message):
        raw.write(**change)


def test_rows_without_a_subject_are_refused(raw):
    with pytest.raises(ValueError, match=r"table of features must have a subject_id, however: 2 of 10 have none"):
        raw.write(features=raw.features.set_axis([None, "", *raw.features.index[2:]]))


def test_an_empty_cohort_tells_why(raw):
    for path in raw.images.values():
        np.save(path, np.zeros(1))
    with pytest.raises(ValueError, match=r"set aside by stage \{'image': 10\}; first: no pixel data in the zip"):
        raw.write()


def test_a_column_that_training_cannot_teach_shows_before_images_are_read(raw):
    raw.features["age_years"] = 50.0
    done = []
    with pytest.raises(ValueError, match=r"one value only in \['age_years'\]"):
        raw.write(progress=lambda *counts: done.append(counts))
    assert done == []


def test_pixels_are_those_of_the_reader(raw):
    cohort = raw.write()
    np.testing.assert_allclose(cohort.read_image("S3"), image_of(3), atol=5e-4)
