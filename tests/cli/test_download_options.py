"""Options of ``dymo-med prepare`` that decide who is in a cohort, with what, and where."""

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from dymo_med.data.cohort import Cohort, image_settings
from dymo_med.data.splits import published_split
from dymo_med.data.ukbb import Pseudonymizer, read_download
from tests.cli.conftest import IMAGE, prepare


@pytest.fixture(scope="module")
def ids(download):
    return pd.read_csv(download / "truth.csv", dtype="str").set_index("eid")


def images_of(download):
    return {path.name.split("_")[0] for path in (download / "imaging").rglob("*.zip")}


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def again(trained, download, ids, tmp_path_factory):
    """A copy of the cohort, prepared again after two subjects with image and row have withdrawn."""
    folder = tmp_path_factory.mktemp("withdrawn")
    shutil.copytree(trained.folder, folder / "cohort")
    pseudonymizer = Pseudonymizer(download.parent / "keys" / "key")
    left = [eid for eid in sorted(images_of(download)) if pseudonymizer(eid) in trained.subjects.index]
    gone = [eid for eid in left if trained.subjects.loc[pseudonymizer(eid)].notna().sum() > 10][1:3]
    before = {eid: trained.read_image(pseudonymizer(eid)) for eid in gone}
    (folder / "w.csv").write_text("\n".join(gone))
    options = ["--withdrawn", str(folder / "w.csv"), "--splits-from", str(folder / "cohort")]
    assert prepare(download, folder / "cohort", *IMAGE, *options) == 0
    return folder, gone, before, pseudonymizer


@pytest.fixture(scope="module")
def reference(download, tmp_path_factory):
    output = tmp_path_factory.mktemp("reference") / "cohort"
    table = pd.read_csv(download / "participants.csv", dtype="str")
    table["21000-0.0"] = ["1002" if row % 5 == 0 else "1001" for row in range(len(table))]
    for title in ("42002-0.0", "42004-0.0", "3894-2.0"):
        table[title] = table.get(title)
    path = output.parent / "british.csv"
    table.to_csv(path, index=False)
    assert prepare(download, output, "--image-size", "8", "--compat", "reference", "--tables", str(path)) == 0
    return Cohort(output), table


class TestWithdrawn:
    def test_they_are_in_no_file(self, again, trained):
        folder, gone, before, pseudonymizer = again
        cohort = Cohort(folder / "cohort")
        assert len(cohort) == len(trained) - 2
        subjects = {*cohort.subjects.index, *cohort.quality["subject_id"]}
        datalist = json.loads((cohort.folder / "datalist.json").read_text())
        listed = {item["subject_id"] for items in datalist.values() for item in items}
        for eid in gone:
            assert pseudonymizer(eid) not in subjects | listed
            pixels = before[eid].astype(np.float16)
            for path, content in bytes_of(cohort.folder).items():
                assert pseudonymizer(eid).encode() not in content, path
                assert pixels.tobytes() not in content, path
            for shard in (cohort.folder / "frames").glob("*.npy"):
                assert not any(np.array_equal(image, pixels) for image in np.load(shard))

    def test_a_count_is_all_that_is_recorded(self, again):
        assert Cohort(again[0] / "cohort").source["n_withdrawn"] == 2

    def test_the_others_stay_where_they_were(self, again, trained):
        cohort = Cohort(again[0] / "cohort")
        assert (cohort.subjects["split"] == trained.subjects.loc[cohort.subjects.index, "split"]).all()
        for item in cohort.items():
            if item["image"]:
                np.testing.assert_array_equal(cohort.read_image(item["image"]), trained.read_image(item["image"]))

    def test_they_do_not_come_back_unnoticed(self, again, download, capsys):
        assert prepare(download, again[0] / "cohort", *IMAGE) == 2
        assert "left out 2 of them and there is no --withdrawn now: pass the newest lists" in capsys.readouterr().err


def test_splits_of_another_cohort_need_one(download, tmp_path, capsys):
    assert prepare(download, tmp_path / "out", *IMAGE, "--splits-from", str(tmp_path / "none")) == 2
    assert "to take splits from: pass the folder of a prepared cohort" in capsys.readouterr().err


def test_relatives_stay_in_one_split(download, ids, tmp_path):
    pairs = [f"{first} {second}" for first, second in zip(ids.index[:8], ids.index[1:9], strict=True)]
    (tmp_path / "rel.dat").write_text("ID1 ID2\n" + "\n".join(pairs))
    options = ["--relatives", str(tmp_path / "rel.dat"), "--image-size", "8"]
    assert prepare(download, tmp_path / "out", *options) == 0
    splits = Cohort(tmp_path / "out").subjects["split"]
    pseudonymizer = Pseudonymizer(download.parent / "keys" / "key")
    family = [pseudonymizer(eid) for eid in ids.index[:9] if pseudonymizer(eid) in splits.index]
    assert len(family) > 4
    assert splits[family].nunique() == 1


def test_nifti_files_instead_of_zips(download, trained, tmp_path):
    rng = np.random.default_rng(0)
    for eid in sorted(images_of(download))[:6]:
        (tmp_path / "nifti" / eid).mkdir(parents=True)
        image = nib.Nifti1Image(rng.integers(0, 900, (24, 24, 3, 6), dtype=np.int16), np.diag([3.0, 3, 10, 1]))
        image.header.set_xyzt_units("mm", "msec")
        nib.save(image, tmp_path / "nifti" / eid / "sa.nii.gz")
    words = ["--nifti", "{id}/sa.nii.gz", "--images", str(tmp_path / "nifti"), "--schema", str(trained.folder)]
    assert prepare(download, tmp_path / "out", *IMAGE, *words, "--labels") == 0
    cohort = Cohort(tmp_path / "out")
    assert 4 <= cohort.quality["has_image"].sum() <= 6
    assert cohort.tasks == []


class TestReference:
    def test_columns_labels_and_subjects_are_the_published_ones(self, reference):
        cohort, table = reference
        assert len(cohort.schema.names) == 75
        assert cohort.tasks == ["cad_as_run", "infarction_as_run"]
        assert cohort.quality.loc[cohort.quality["included"], ["has_image", "has_table"]].all(axis=None)
        assert cohort.source["options"]["compat"] == "reference"
        assert len(cohort) < len(table)

    def test_statistics_are_those_of_everybody_before_images_were_read(self, reference, download):
        cohort, _ = reference
        column = next(column for column in cohort.schema.columns if column.name == "body_mass_index_kg_per_m2")
        read = read_download(
            [cohort.folder.parent / "british.csv"],
            download / "imaging",
            key_file=download.parent / "keys" / "key",
            labels=(),
            published=True,
        )
        assert len(read.features) > len(cohort)
        assert column.mean == pytest.approx(read.features[column.name].mean())

    def test_split_is_of_those_whose_image_was_read_in_the_order_of_rows(self, reference, download):
        cohort, table = reference
        pseudonymizer = Pseudonymizer(download.parent / "keys" / "key")
        subjects = [pseudonymizer(eid) for eid in table["eid"]]
        left = [subject for subject in subjects if subject in cohort.subjects.index]
        assert cohort.subjects["split"].sort_index().tolist() == published_split(left).sort_index().tolist()

    def test_images_are_the_published_ones(self, reference):
        cohort, _ = reference
        assert image_settings(cohort) == (8, None)
        quality = cohort.quality[cohort.quality["included"]]
        assert quality["phase_ed"].eq(0).all()
        assert quality["method"].str.startswith("as published").all()

    @pytest.mark.parametrize("option", [["--seed", "1"], ["--tiers", "measurement"], ["--timing", "ever"]])
    def test_it_leaves_no_room_for_other_choices(self, download, tmp_path, capsys, option):
        assert prepare(download, tmp_path / "out", "--compat", "reference", *option) == 2
        assert f"also given are ['{option[0]}']: leave them out" in capsys.readouterr().err


@pytest.fixture(scope="module")
def images(download, tmp_path_factory):
    """Zips of which none has the participant of its name in Patient ID."""
    folder = tmp_path_factory.mktemp("other") / "imaging"
    folder.mkdir()
    zips = {path.name: path for path in sorted((download / "imaging").rglob("*.zip"))}
    for source, name in zip(zips.values(), [*list(zips)[1:], next(iter(zips))], strict=True):
        shutil.copy(source, folder / name)
    return folder


class TestPatientNumbers:
    """All headers carry participant-like numbers that are never those of the file names."""

    @pytest.mark.parametrize("more", [[], ["--shard", "1/2"]])
    def test_they_are_told_before_any_subject_pays(self, download, images, tmp_path, capsys, more):
        assert prepare(download, tmp_path / "out", *IMAGE, "--images", str(images), *more) == 2
        error = capsys.readouterr().err
        assert "it is another number in" in error
        assert "pass '--patient-id other'" in error
        assert not re.search(r"\b9\d{6}\b", error)

    def test_they_can_be_let_be(self, download, images, trained, tmp_path):
        words = ["--images", str(images), "--patient-id", "other", "--schema", str(trained.folder), "--labels"]
        assert prepare(download, tmp_path / "out", *IMAGE, *words) == 0
        cohort = Cohort(tmp_path / "out")
        assert cohort.quality["has_image"].sum() > 10
        assert cohort.source["options"]["patient_id"] == "other"


def test_incident_disease(download, tmp_path, capsys):
    options = ["--timing", "incident", "--within-years", "3", "--linkage-end", "2023-01-01"]
    assert prepare(download, tmp_path / "out", "--image-size", "8", *options) == 2
    assert "timing 'incident' reads the fields" in capsys.readouterr().err


def test_tiers(download, trained, tmp_path):
    assert prepare(download, tmp_path / "out", "--image-size", "8", "--tiers", "image_derived") == 0
    names = Cohort(tmp_path / "out").schema.names
    assert "lv_mass_g" in names
    assert not set(names) & set(trained.schema.names)
