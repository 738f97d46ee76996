"""The files that other programs read: quality control and datalist."""

import json

import numpy as np
import pandas as pd
from monai.data import load_decathlon_datalist

from dymo_med.data.cohort import Cohort
from dymo_med.data.cohort.outputs import split_digest


def test_everyone_is_in_quality_control_with_a_reason_if_out(raw):
    raw.features.loc["S0", "sex"] = "unknown"
    np.save(raw.images["S2"], np.zeros(1))
    del raw.images["S3"]
    raw.features = raw.features.drop(index="S4")
    quality = raw.write().quality.set_index("subject_id")
    assert sorted(quality.index) == sorted(raw.labels.index)
    out = quality[~quality["included"]]
    assert out["stage"].to_dict() == {"S0": "table", "S2": "image"}
    assert out["reason"].str.len().min() > 20
    assert quality.loc[quality["included"], ["stage", "reason"]].isna().all(axis=None)
    assert not quality.loc[["S0", "S2", "S3"], "has_image"].any()
    assert quality.loc["S3", "has_table"]
    assert not quality.loc["S4", "has_table"]
    assert quality.loc["S1", "slice_index"] == quality["slice_index"].dropna().iloc[0]


def test_monai_reads_the_datalist(raw):
    del raw.images["S1"]
    cohort = raw.write()
    path = str(cohort.folder / "datalist.json")
    sizes = {"training": 6, "validation": 2, "test": 2}
    for key, split in (("training", "train"), ("validation", "val"), ("test", "test")):
        items = load_decathlon_datalist(path, is_segmentation=False, data_list_key=key, base_dir=str(cohort.folder))
        assert len(items) == sizes[key]
        for item, expected in zip(items, cohort.items(split), strict=True):
            assert item["subject_id"] == expected["subject_id"]
            assert ("image" in item) == (expected["image"] is not None)
            if "image" in item:
                stored = np.load(item["image"], mmap_mode="r")[item["image_row"]]
                np.testing.assert_array_equal(stored, cohort.read_image(expected["image"]))
        labels = {item["subject_id"]: item["label_cad"] for item in items if "label_cad" in item}
        known = cohort.subjects.loc[cohort.subjects["split"] == split, "label_cad"].dropna()
        assert labels == known.to_dict()


def test_references_of_the_datalist_are_relative(raw):
    text = (raw.write().folder / "datalist.json").read_text()
    assert '"image": "frames/' in text
    assert str(raw.folder) not in text


def test_the_record_of_the_source_is_kept(raw):
    cohort = raw.write(record={"n_withdrawn": 3})
    assert Cohort(cohort.folder).source == {"n_withdrawn": 3}


def test_the_split_has_a_digest_of_its_own(raw):
    about = json.loads((raw.write("a").folder / "cohort.json").read_text())
    assert about["digests"]["split"] == split_digest(raw.splits)
    moved = pd.Series(raw.splits)
    moved["S0"], moved["S9"] = moved["S9"], moved["S0"]
    assert split_digest(moved) != split_digest(raw.splits)
