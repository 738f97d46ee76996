"""The patient that the headers name, against the name of the archive."""

import pytest

from dymo_med.data.cine import check_patient_numbering, read_cine
from dymo_med.utils import SubjectError
from tests.data.cine.scans import Heart, write_scan

HEART = Heart()
NAME = "9000001_20209_2_0.zip"


def named(*patients):
    """Give the frames of slice k the patient k of the list, the last one from there on."""

    def change(ds, k, t):
        ds.PatientID = patients[min(k, len(patients) - 1)]
        return ds

    return change


@pytest.mark.parametrize(
    ("name", "patient"),
    [(NAME, "9000001"), (NAME, "ANON-17"), (NAME, ""), ("scan.zip", "9000002"), ("17_20209_2_0.zip", "9000002")],
)
def test_the_same_or_an_unknown_patient_is_read(tmp_path, name, patient):
    assert read_cine(write_scan(tmp_path / name, HEART, named(patient))).shape[2] == HEART.n_slices


def test_another_participant_than_in_the_file_name_is_refused_and_not_named(tmp_path):
    path = write_scan(tmp_path / NAME, HEART, named("9000002"))
    with pytest.raises(
        SubjectError, match=r"a participant other than the one in the file name in Patient ID"
    ) as caught:
        read_cine(path)
    assert "900000" not in str(caught.value)


def test_two_patients_in_one_archive_are_refused(tmp_path):
    with pytest.raises(SubjectError, match=r"2 different patients in Patient ID \(0010,0020\) of the cine zip"):
        read_cine(write_scan(tmp_path / "scan.zip", HEART, named("A", "B")))


def test_another_numbering_is_read_if_so_told(tmp_path):
    path = write_scan(tmp_path / NAME, HEART, named("9000002"))
    assert read_cine(path, match_patient=False).shape[2] == HEART.n_slices
    path = write_scan(tmp_path / NAME, HEART, named("9000002", "9000003"))
    with pytest.raises(SubjectError, match="2 different patients"):
        read_cine(path, match_patient=False)


@pytest.mark.parametrize(
    ("patients", "is_refused"),
    [
        (["9000002", "9000003", "9000001"], True),
        (["9000001", "9000003", "9000002"], False),  # the first one agrees
        (["9000002", "9000003"], False),  # too few to tell
        (["9000002", "9000003", "ANON-17"], False),
    ],
)
def test_another_numbering_is_told_from_wrong_subjects(tmp_path, patients, is_refused):
    small = Heart(n_phases=1, n_slices=1)
    paths = [
        write_scan(tmp_path / f"900000{number}_20209_2_0.zip", small, named(patient))
        for number, patient in enumerate(patients, start=1)
    ]
    (tmp_path / "9000009_20209_2_0.zip").write_bytes(b"no zip")
    paths.append(tmp_path / "9000009_20209_2_0.zip")
    if is_refused:
        with pytest.raises(ValueError, match="however: it is another number in 3 of 3 zips compared: pass '--patient"):
            check_patient_numbering(paths)
    else:
        check_patient_numbering(paths)
