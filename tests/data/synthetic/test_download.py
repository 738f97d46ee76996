import csv
import hashlib
import zipfile

import numpy as np
import pytest

from dymo_med.data.synthetic import PhantomFault, PhantomImageSize, write_phantom_download
from dymo_med.data.synthetic.faults import assign_faults

TINY = PhantomImageSize(n_slices=1, n_frames=4, rows=24, columns=24)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, download, small):
    again = write_phantom_download(tmp_path / "again", n_subjects=12, seed=3, image=small)
    other = write_phantom_download(tmp_path / "other", n_subjects=12, seed=4, image=small)
    first = digests(download.folder)
    assert digests(again.folder) == first
    assert not set(digests(other.folder).values()) & set(first.values())


def test_number_of_workers_changes_nothing(tmp_path, faulty, small):
    write_phantom_download(tmp_path, n_subjects=12, seed=3, image=small, faults=True, n_workers=2)
    assert digests(tmp_path) == digests(faulty.folder)


def test_subjects_do_not_depend_on_the_size_of_the_cohort(tmp_path, download, small, read_rows):
    part = write_phantom_download(tmp_path, n_subjects=3, seed=3, image=small)
    assert read_rows(part.table) == read_rows(download.table)[:3]
    whole = digests(download.images)
    assert digests(part.images).items() <= whole.items()


def test_files_of_a_download(download):
    assert {path.name for path in download.folder.iterdir()} == {
        "participants.csv",
        "truth.csv",
        "README.txt",
        "imaging",
    }
    archives = sorted(download.images.rglob("*"))
    assert [path.name for path in archives if path.is_file()] == [f"{9000000 + k}_20209_2_0.zip" for k in range(12)]
    assert {path.parent.name for path in archives if path.is_file()} == {"90"}


def test_readme_says_that_nothing_is_real(download):
    text = (download.folder / "README.txt").read_text()
    assert text.startswith("SIMULATED DATA. NO PARTICIPANT, NO PATIENT.")
    assert "support no claim about patients" in text
    assert "4 times" in text
    assert "3 slices x 8 frames x 48 rows x 48 columns" in text


def test_table_is_quoted_and_in_the_classic_dialect(download, read_rows):
    header, first, *_ = download.table.read_text().splitlines()
    assert header.startswith('"eid","31-0.0"')
    assert '"4080-2.1"' in header
    assert first.count('""') > 20
    rows = read_rows(download.table)
    assert [int(row["eid"]) for row in rows] == list(range(9000000, 9000012))


def test_summary_counts_what_was_written(download, read_rows):
    truth = read_rows(download.truth)
    assert (download.n_subjects, download.n_rows, download.n_images, download.n_faults) == (12, 12, 12, 0)
    assert download.n_cad == sum(row["cad"] == "1" for row in truth)
    assert download.n_infarction == sum(row["infarction"] == "1" for row in truth)
    assert not any(row["fault"] for row in truth)


def test_truth_agrees_with_itself(download, read_rows):
    for row in read_rows(download.truth):
        assert float(row["ef_percent"]) == pytest.approx(
            100 * (1 - float(row["esv_ml"]) / float(row["edv_ml"])), abs=0.01
        )
        assert 0 <= int(row["ed_frame"]) < 8
        assert int(row["mid_slice"]) == 1
        assert (row["cad_date"] != "") == (row["cad"] == "1" or row["cad_after_scan"] == "1")
        assert row["cad_date"] == "" or (row["cad_date"] < row["scan_date"]) == (row["cad"] == "1")


def test_absent_tables_and_images_follow_their_rates(tmp_path, read_rows):
    done = write_phantom_download(
        tmp_path, n_subjects=60, seed=0, image=TINY, table_absent_rate=0.25, image_absent_rate=0.4
    )
    truth = read_rows(done.truth)
    tables = {row["eid"] for row in truth if row["has_table"] == "1"}
    images = {row["eid"] for row in truth if row["has_image"] == "1"}
    assert tables == {row["eid"] for row in read_rows(done.table)}
    assert images == {path.name[:7] for path in done.images.rglob("*.zip")}
    assert len(tables | images) == 60
    assert 6 <= 60 - len(tables) <= 25
    assert 14 <= 60 - len(images) <= 35
    assert (done.n_rows, done.n_images) == (len(tables), len(images))


def test_no_table_rows_at_all_leave_an_empty_table(tmp_path):
    done = write_phantom_download(tmp_path, n_subjects=2, seed=0, image=TINY, table_absent_rate=1.0)
    assert done.table.read_text() == ""
    assert (done.n_rows, done.n_images) == (0, 2)


@pytest.fixture
def eid_of(faulty, read_rows):
    return {row["fault"]: row["eid"] for row in read_rows(faulty.truth) if row["fault"]}


def test_each_fault_hits_one_subject(eid_of, faulty):
    assert set(eid_of) == set(PhantomFault)
    assert faulty.n_faults == len(PhantomFault)


def test_faults_of_the_table(eid_of, faulty, read_rows):
    rows = read_rows(faulty.table)
    ids = [row["eid"] for row in rows]
    assert eid_of["no_row"] not in ids
    assert ids.count(eid_of["duplicate_id"]) == 2
    assert len(ids) == faulty.n_rows == 12
    by_id = {row["eid"]: row for row in rows}
    assert by_id[eid_of["text_in_number"]]["21001-2.0"] == "see notes"
    assert by_id[eid_of["unknown_code"]]["20116-2.0"] == "9"
    assert sum(row["21001-2.0"] == "see notes" for row in rows) == sum(row["20116-2.0"] == "9" for row in rows) == 1


def test_faults_of_the_images(eid_of, faulty):
    found = {path.name[:7]: path for path in faulty.images.rglob("*.zip")}
    assert eid_of["no_image"] not in found
    assert len(found) == faulty.n_images == 11
    unreadable = {eid for eid, path in found.items() if not zipfile.is_zipfile(path)}
    assert unreadable == {eid_of["truncated_zip"]}
    with zipfile.ZipFile(found[eid_of["no_sax_series"]]) as archive:
        assert "CINE_segmented_SAX" not in archive.read("manifest.cvs").decode()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"n_subjects": 0}, "n_subjects must be a positive integer, however: n_subjects=0"),
        ({"n_workers": 0}, "n_workers must be a positive integer, however: n_workers=0"),
        ({"seed": -1}, "seed must not be negative, however: seed=-1"),
        (
            {"first_id": 1234567},
            "ids must lie from 9000000 to 9999999, outside any registry, however: first_id=1234567",
        ),
        ({"first_id": 9999999}, "however: first_id=9999999 with n_subjects=2"),
        ({"table_absent_rate": 1.5}, "table_absent_rate must be between 0 and 1, however: table_absent_rate=1.5"),
        ({"image_absent_rate": -0.1}, "image_absent_rate must be between 0 and 1, however: image_absent_rate=-0.1"),
        ({"table_absent_rate": 0.6, "image_absent_rate": 0.5}, r"must sum to at most 1, however: 0.6 \+ 0.5"),
        ({"gap_scale": 3.0}, "gap_scale must be between 0 and 2, however: gap_scale=3.0"),
        ({"prevalence_boost": -1.0}, "prevalence_boost must be positive and finite"),
        ({"faults": True}, "faults need one subject each, 10 in all, however: n_subjects=2"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, arguments, text):
    with pytest.raises(ValueError, match=text):
        write_phantom_download(tmp_path / "new", **{"n_subjects": 2, "seed": 0, "image": TINY} | arguments)
    assert not (tmp_path / "new").exists()


def test_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"must be new or empty, however: .* holds something; remove it or choose"
    ):
        write_phantom_download(tmp_path, n_subjects=1, seed=0, image=TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_real_size_can_be_written(tmp_path, read_rows):
    size = PhantomImageSize(n_slices=10, n_frames=50, rows=208, columns=174)
    done = write_phantom_download(tmp_path, n_subjects=1, seed=0, image=size)
    (path,) = done.images.rglob("*.zip")
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) >= 501
        lines = list(csv.reader(archive.read("manifest.cvs").decode().splitlines()))
    assert {line[1] for line in lines[1:]} >= {f"CINE_segmented_SAX_b{k}" for k in range(1, 11)}
    assert read_rows(done.truth)[0]["mid_slice"] == "5"


def test_faults_are_assigned_to_different_subjects():
    assigned = assign_faults(25, np.random.default_rng(1))
    assert sorted(assigned.values()) == sorted(PhantomFault)
    assert set(assigned) <= set(range(25))
