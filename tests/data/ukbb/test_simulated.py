"""A simulated download read as a whole, against what was simulated."""

import pandas as pd
import pytest

from dymo_med.data.synthetic import PhantomImageSize, write_phantom_download
from dymo_med.data.ukbb import Pseudonymizer, read_download

TINY = PhantomImageSize(n_slices=1, n_frames=4, rows=24, columns=24)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    written = write_phantom_download(
        folder / "download",
        n_subjects=60,
        seed=5,
        image=TINY,
        faults=True,
        table_absent_rate=0.1,
        image_absent_rate=0.1,
    )
    download = read_download([written.table], written.images, key_file=folder / "key")
    truth = pd.read_csv(written.truth)
    truth.index = [Pseudonymizer(folder / "key")(str(eid)) for eid in truth["eid"]]
    return download, truth


def test_labels_are_those_simulated(simulated):
    download, truth = simulated
    for label in ("cad", "infarction"):
        made = download.labels[label].dropna()
        assert (made == truth.loc[made.index, label]).all()
        assert made.sum() > 0
    excluded = download.labels.index[download.labels["cad"].isna()]
    assert truth.loc[excluded, "cad_after_scan"].astype(bool).all()


def test_age_is_that_simulated(simulated):
    download, truth = simulated
    age = download.features["age_at_scan_years"]
    assert (age - truth.loc[age.index, "age_years"]).abs().max() < 0.1


def test_nothing_is_absent_and_the_usual_values_are_plausible(simulated):
    download, _ = simulated
    assert download.absent_features == ()
    assert download.features.shape[1] == 59
    assert download.feature_counts["out_of_range"].sum() == 0
    assert (download.feature_counts["observed"] > 0).all()


def test_faults_of_the_table_cost_their_subjects_alone(simulated):
    download, truth = simulated
    reasons = download.set_aside.set_index("subject_id")["reason"]
    faults = truth.loc[reasons.index, "fault"]
    assert set(faults) == {"text_in_number", "duplicate_id", "unknown_code"}
    for fault, part in [
        ("text_in_number", "(field 21001"),
        ("duplicate_id", "2 rows"),
        ("unknown_code", "field 20116"),
    ]:
        assert part in reasons[faults[faults == fault].index[0]]
    assert not set(download.images) & set(reasons.index)
