"""A clinic's own files to a cohort, by the command."""

import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort
from tests.cli.conftest import IMAGE, KIND


def intake(table, trained, output, *more):
    words = ["intake", "--table", str(table), "--schema", str(trained.folder), "--output", str(output)]
    return main([*words, *KIND, *IMAGE, *more])


@pytest.fixture
def rows(trained):
    """Five rows of the trained cohort, as a clinic would write them."""
    frame = trained.subjects[trained.schema.names].dropna(how="all").head(5)
    return frame.set_axis([f"P{number}" for number in range(len(frame))]).rename_axis("subject_id")


def good_zip(download):
    truth = pd.read_csv(download / "truth.csv", dtype="str")
    found = [list((download / "imaging").rglob(f"{eid}_*.zip")) for eid in truth.loc[truth["fault"].isna(), "eid"]]
    return next(paths[0] for paths in found if paths)


def heart(radius):
    x, y = np.mgrid[:40, :40]
    disc = (np.hypot(x - 20, y - 20) < radius) * 200.0 + (x + y)
    return nib.Nifti1Image(np.repeat(disc[:, :, None], 3, axis=2).astype(np.float32), np.diag([2.0, 2.0, 8.0, 1.0]))


def test_a_table_and_images_become_a_cohort(rows, trained, download, tmp_path, capsys):
    (tmp_path / "scans").mkdir()
    shutil.copy(good_zip(download), tmp_path / "scans" / "good.zip")
    nib.save(heart(9), tmp_path / "scans" / "ed.nii.gz")
    nib.save(heart(6), tmp_path / "scans" / "es.nii.gz")
    images = ["scans/good.zip", "scans/ed.nii.gz;scans/es.nii.gz", "", "scans/none.zip", "a;b;c"]
    rows.assign(image=images, label_cad=["1", "0", "1", "", "0"]).to_csv(tmp_path / "table.csv")
    assert intake(tmp_path / "table.csv", trained, tmp_path / "cohort") == 0
    cohort = Cohort(tmp_path / "cohort")
    items = {item["subject_id"]: item for item in cohort.items("new", "cad")}
    assert {subject: item["image"] is not None for subject, item in items.items()} == {
        "P0": True,
        "P1": True,
        "P2": False,
    }
    assert [item["label"] for item in items.values()] == [1, 0, 1]
    stored = cohort.subjects[cohort.schema.names]
    pd.testing.assert_frame_equal(stored, rows.loc[stored.index], check_dtype=False, check_names=False)
    reasons = cohort.set_aside.set_index("subject_id")["reason"].to_dict()
    assert reasons["P3"].startswith("no file can be opened")
    assert reasons["P4"] == "3 file names in column 'image': write one file, or 'ed.nii.gz;es.nii.gz'"
    assert "3 subjects (new 3; data: simulated)" in capsys.readouterr().out


def test_absent_numbers_may_be_written_as_na(rows, trained, tmp_path):
    number = trained.schema.names[-1]
    rows.assign(**{number: ["NA", "NaN", "nan", "", "170"]}).to_csv(tmp_path / "table.csv")
    assert intake(tmp_path / "table.csv", trained, tmp_path / "cohort") == 0
    stored = Cohort(tmp_path / "cohort").subjects[number]
    assert stored.isna().tolist() == [True, True, True, True, False]


def test_parquet_with_splits(rows, trained, tmp_path):
    rows.assign(split=["test", "test", "val", "val", "val"]).reset_index().to_parquet(tmp_path / "table.parquet")
    assert intake(tmp_path / "table.parquet", trained, tmp_path / "cohort") == 0
    assert Cohort(tmp_path / "cohort").subjects["split"].tolist() == ["test", "test", "val", "val", "val"]


def test_a_misspelt_column_is_one_line_with_a_suggestion(rows, trained, tmp_path, capsys):
    name = trained.schema.names[0]
    rows.rename(columns={name: f"{name}_x"}).to_csv(tmp_path / "table.csv")
    assert intake(tmp_path / "table.csv", trained, tmp_path / "cohort") == 2
    assert f"'{name}_x' (do you mean '{name}'?)" in capsys.readouterr().err


def test_a_bad_cell_costs_its_subject(rows, trained, tmp_path):
    number = trained.schema.names[-1]
    rows.astype({number: object}).assign(**{number: ["old", 1, 1, 1, 1]}).to_csv(tmp_path / "table.csv")
    assert intake(tmp_path / "table.csv", trained, tmp_path / "cohort") == 0
    cohort = Cohort(tmp_path / "cohort")
    assert cohort.set_aside["subject_id"].tolist() == ["P0"]
    assert f"'old' is no finite number in table column '{number}'" in cohort.set_aside["reason"][0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b\n1;2\n", "table.csv must have a column 'subject_id', however: its 1 columns are ['a;b']"),
        ("", "No columns to parse"),
    ],
)
def test_files_that_are_no_table(trained, tmp_path, capsys, text, message):
    (tmp_path / "table.csv").write_text(text)
    assert intake(tmp_path / "table.csv", trained, tmp_path / "cohort") == 2
    assert message in capsys.readouterr().err


def test_a_table_of_bytes_is_refused(trained, tmp_path, capsys):
    (tmp_path / "table.csv").write_bytes(b"subject_id\n\xff\xfe\n")
    assert intake(tmp_path / "table.csv", trained, tmp_path / "cohort") == 2
    assert capsys.readouterr().err.startswith("dymo-med: error: ")
