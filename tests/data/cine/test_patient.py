"""The patient that the headers name, against the name of the archive."""

import pytest

from dymo_med.data.cine import read_cine
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
