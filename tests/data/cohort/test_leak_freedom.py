"""Whatever changes in validation or test, schema and training set stay the same, byte for byte."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from dymo_med.data.cohort import Cohort
from dymo_med.data.splits import stratified_split

HELD_OUT = ("S6", "S7", "S8", "S9")


def learned(cohort):
    """Bytes of all that a training run reads of a cohort: schema, training rows, their images and their list."""
    cohort = Cohort(cohort.folder)
    training = cohort.subjects[cohort.subjects["split"] == "train"]
    rows = io.BytesIO()
    training.reset_index().to_parquet(rows, index=False)
    items = cohort.items("train", "cad")
    parts = [part for item in items for part in (item["table"], item["table_missing"])]
    arrays = [None if part is None else part.tobytes() for part in parts]
    images = [cohort.read_image(item["image"]).tobytes() for item in items if item["image"]]
    names = [(item["subject_id"], item["label"]) for item in items]
    listed = json.loads((cohort.folder / "datalist.json").read_text())["training"]
    listed = [item | dict.fromkeys({"image", "image_row"} & set(item)) for item in listed]  # where, not what
    return (cohort.folder / "schema.json").read_bytes(), rows.getvalue(), arrays, images, names, listed


def change_cells(raw, subject, rng):
    raw.features.loc[subject] = [rng.choice(["female", "male"]), float(rng.integers(18, 110))]


def blank_cells(raw, subject, rng):
    raw.features.loc[subject] = None


def spoil_cells(raw, subject, rng):
    raw.features.loc[subject, "sex"] = "unknown"


def implausible_cells(raw, subject, rng):
    raw.features.loc[subject, "age_years"] = 1e6


def change_label(raw, subject, rng):
    raw.labels.loc[subject, "cad"] = rng.choice([0, 1, None])


def change_image(raw, subject, rng):
    np.save(raw.images[subject], rng.random((3, 8, 8), dtype=np.float32))


def spoil_image(raw, subject, rng):
    np.save(raw.images[subject], np.zeros(1))


def drop_image(raw, subject, rng):
    del raw.images[subject]


def drop_subject(raw, subject, rng):
    raw.features, raw.labels = raw.features.drop(index=subject), raw.labels.drop(index=subject)
    raw.splits = raw.splits.drop(subject)
    del raw.images[subject]


def add_subject(raw, subject, rng):
    for table in (raw.features, raw.labels, raw.splits):
        table.loc[f"{subject}a"] = table.loc[subject]


CHANGES = (
    change_cells, blank_cells, spoil_cells, implausible_cells, change_label, change_image, spoil_image, drop_image,
    drop_subject, add_subject,
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.filterwarnings("ignore:.*AUROC is undefined")
def test_a_held_out_subject_changes_nothing_that_is_learned(raw, change):
    raw.labels.loc[["S6", "S8"], "cad"], raw.labels.loc[["S7", "S9"], "cad"] = 0, 1
    cohort = raw.write("before")
    before, digest = learned(cohort), cohort.digest
    rng = np.random.default_rng(7)
    for subject in HELD_OUT[::2]:
        change(raw, subject, rng)
    after = raw.write("after")
    assert learned(after) == before
    assert after.digest != digest, "the change must reach the cohort, or this test proves nothing"


@pytest.mark.parametrize("change", [change_cells, blank_cells, implausible_cells, change_label, change_image])
def test_a_training_subject_does_change_it(raw, change):
    before = learned(raw.write("before"))
    change(raw, "S2", np.random.default_rng(3))
    assert learned(raw.write("after")) != before


def test_the_split_itself_does_not_see_features():
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({"cad": rng.integers(0, 2, 100)}, index=[f"S{k}" for k in range(100)])
    split = stratified_split(labels)
    kept = stratified_split(labels.assign(cad=1 - labels["cad"]), keep=split)
    assert (kept == split).all()
