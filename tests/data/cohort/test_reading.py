"""A cohort as datalists, and what it refuses."""

import json
import pickle
import time

import numpy as np
import pandas as pd
import pytest

from dymo_med.data.cohort import Cohort
from dymo_med.tabular import encode_table


def test_items_hold_what_the_batch_contract_asks_for(raw):
    items = raw.write().items("train", "cad")
    assert [item["subject_id"] for item in items] == [f"S{number}" for number in range(6)]
    assert [item["label"] for item in items] == [0, 1, 0, 1, 0, 1]
    first = items[0]
    assert sorted(first) == ["image", "label", "subject_id", "table", "table_missing"]
    assert first["image"] == "S0"
    assert (first["table"].dtype, first["table"].shape) == (np.float32, (2,))
    assert first["table_missing"].tolist() == [False, False]
    assert type(first["label"]) is int


def test_items_equal_encoding_by_hand(raw):
    raw.features.loc["S4", "sex"] = ""
    cohort = raw.write()
    encoded = encode_table(raw.features, cohort.schema)
    by_subject = {item["subject_id"]: item for item in cohort.items()}
    for row, subject in enumerate(encoded.subject_ids):
        np.testing.assert_array_equal(by_subject[subject]["table"], encoded.values[row])
        np.testing.assert_array_equal(by_subject[subject]["table_missing"], encoded.missing[row])


def test_a_missing_modality_is_none(raw):
    raw.features.loc["S1"] = None
    del raw.images["S2"]
    items = {item["subject_id"]: item for item in raw.write().items("train")}
    assert items["S1"]["table"] is None
    assert items["S1"]["table_missing"] is None
    assert items["S1"]["image"] == "S1"
    assert items["S2"]["image"] is None
    assert items["S2"]["table"] is not None


def test_subjects_without_the_label_are_left_out(raw):
    cohort = raw.write()
    with pytest.warns(UserWarning, match=r"1 subjects of split 'test' have class 0 of task 'cad' only: AUROC"):
        assert [item["subject_id"] for item in cohort.items("test", "cad")] == ["S8"]
    assert [item["subject_id"] for item in cohort.items("test")] == ["S8", "S9"]
    assert "label" not in cohort.items("test")[0]
    assert len(cohort.items(None, "cad")) == 9


def test_refused_questions(raw):
    raw.labels["rare"] = [1] * 6 + [None] * 4
    cohort = raw.write()
    with pytest.raises(
        ValueError, match=r"split must be one of \['test', 'train', 'val'\] or None, however: split='x'"
    ):
        cohort.items("x")
    with pytest.raises(ValueError, match=r"task must be one of \['cad', 'rare'\] or None, however: task='mi'"):
        cohort.items("train", "mi")
    with pytest.raises(ValueError, match=r"no subject of split 'val' has a label of task 'rare'"):
        cohort.items("val", "rare")
    with pytest.raises(ValueError, match=r"training needs two classes or more, however: 6 subjects .* have class 1"):
        cohort.items("train", "rare")


def test_validation_with_one_class_cannot_choose_an_epoch(raw):
    in_validation = raw.splits[raw.splits == "val"].index
    raw.labels.loc[in_validation, "cad"] = 0
    with pytest.raises(ValueError, match=r"best epoch needs two classes or more, however: 2 subjects of split 'val'"):
        raw.write().items("val", "cad")


def test_digest_follows_content(raw):
    digest = raw.write().digest
    assert raw.write("twin").digest == digest
    raw.labels.loc["S0", "cad"] = 1
    assert raw.write("labels").digest != digest
    raw.labels.loc["S0", "cad"] = 0
    np.save(raw.images["S0"], np.zeros((3, 8, 8), dtype=np.float32))
    assert raw.write("pixels").digest != digest


def test_a_changed_file_is_noticed(raw):
    cohort = raw.write()
    subjects = pd.read_parquet(cohort.folder / "cohort.parquet")
    subjects.loc[0, "age_years"] = 99.0
    subjects.to_parquet(cohort.folder / "cohort.parquet")
    with pytest.raises(ValueError, match=r"must stay as it was written, however: changed are \['subjects'\] of cohort"):
        Cohort(cohort.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [({"format": "dymo_med cohort", "version": 3}, r"however: \('dymo_med cohort', 3\)"), ([], r"however: list")],
)
def test_other_formats_are_refused(raw, content, message):
    folder = raw.write().folder
    (folder / "cohort.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Cohort(folder)


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("digests", 0.5, r"however: \['digests'\] differ"),
        ("digests", {}, "however: digests differ"),
        ("source", [], "source"),
    ],
)
def test_a_record_edited_by_hand_is_refused(raw, entry, content, message):
    folder = raw.write().folder
    about = json.loads((folder / "cohort.json").read_text())
    (folder / "cohort.json").write_text(json.dumps(about | {entry: content}))
    with pytest.raises(ValueError, match=message):
        Cohort(folder)


@pytest.mark.parametrize("content", [b"", b"PAR1xxxxPAR1"])
def test_a_damaged_quality_table_is_refused_in_one_line(raw, content):
    cohort = raw.write()
    (cohort.folder / "qc.parquet").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"qc.parquet of cohort must be a sound Parquet file, however: \w+: prepare"
    ) as err:
        assert cohort.set_aside is None
    assert "\n" not in str(err.value)


def test_an_unknown_image_key_is_refused(raw):
    with pytest.raises(KeyError, match="no image of subject 'S99'"):
        raw.write().read_image("S99")


def test_a_cohort_goes_to_worker_processes(raw):
    cohort = raw.write()
    again = pickle.loads(pickle.dumps(cohort))
    np.testing.assert_array_equal(again.read_image("S1"), cohort.read_image("S1"))


def test_thousands_of_subjects_are_written_and_opened_quickly(raw):
    n = 5000
    ids = [f"S{number:05d}" for number in range(n)]
    raw.features = pd.DataFrame({"sex": ["female", "male"] * (n // 2), "age_years": np.linspace(20, 100, n)}, index=ids)
    raw.splits = pd.Series("train", index=ids)
    start = time.process_time()
    folder = raw.write(images={}, labels=pd.DataFrame({"cad": [0, 1] * (n // 2)}, index=ids)).folder
    assert time.process_time() - start < 6.0
    start = time.process_time()
    assert len(Cohort(folder).items("train", "cad")) == n
    assert time.process_time() - start < 2.0
