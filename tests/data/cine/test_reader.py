from pathlib import Path

import numpy as np
import pytest

from dymo_med.data.cine import EDESPair, find_cine_zips, read_cine, select_frames, to_model_image
from dymo_med.data.synthetic import PhantomImageSize, write_phantom_download
from dymo_med.utils import SubjectError
from tests.data.cine.scans import Heart, true_affine, volume, write_nifti, write_scan

REAL = Path(__file__).parents[4] / "shared" / "data" / "cine_real"


def test_three_forms_of_one_acquisition_give_the_same_image(tmp_path):
    heart = Heart()
    values, affine = volume(heart), true_affine(heart)
    flipped = affine.copy()  # as converters store it: rows upwards
    flipped[:3, 3] += flipped[:3, 1] * (heart.rows - 1)
    flipped[:3, 1] *= -1
    pair = EDESPair(
        ed=write_nifti(tmp_path / "ed.nii.gz", values[:, ::-1, :, heart.ed], flipped),
        es=write_nifti(tmp_path / "es.nii.gz", values[:, ::-1, :, heart.es], flipped),
    )
    sources = (
        write_scan(tmp_path / "a.ZIP", heart),
        write_nifti(tmp_path / "a.nii.gz", values[:, ::-1], flipped),
        pair,
    )
    dicom, nifti, given = (select_frames(read_cine(source)) for source in sources)
    assert dicom.phase_indices == nifti.phase_indices == {"es": heart.es, "mid": 5, "ed": heart.ed}
    assert dicom.slice_index == nifti.slice_index == given.slice_index == 2
    np.testing.assert_allclose(nifti.affine, dicom.affine, atol=2e-5)
    np.testing.assert_allclose(given.affine, dicom.affine, atol=2e-5)
    np.testing.assert_array_equal(nifti.values, dicom.values)
    np.testing.assert_array_equal(given.values[[0, 2]], dicom.values[[0, 2]])
    np.testing.assert_allclose(to_model_image(nifti), to_model_image(dicom), atol=1e-5)
    np.testing.assert_allclose(to_model_image(given)[[0, 2]], to_model_image(dicom)[[0, 2]], atol=0.01)


@pytest.mark.parametrize("name", ["scan.png", "scan.nii.bz2", "scan"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(SubjectError, match=r"ending '.*' in the cine file: pass a \.zip of DICOM files"):
        read_cine(tmp_path / name)


def test_absent_nifti_is_the_subjects_fault_and_no_path_is_told(tmp_path):
    with pytest.raises(SubjectError, match="no such file in the 4D NIfTI file") as caught:
        read_cine(tmp_path / "1234567.nii.gz")
    assert "1234567" not in str(caught.value)


def test_zips_are_found_by_name_at_any_depth(tmp_path):
    names = [
        "12/1234567_20209_2_0.zip",
        "12/1234567_20209_3_0.zip",
        "copy/1234567_20209_2_0.zip",
        "9000001_20209_2_0.zip",
        "9000002_20208_2_0.zip",
        "9000003_20209_2_1.zip",
        "x9000004_20209_2_0.zip",
        "9000005_20209_2_0.zip.part",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_cine_zips(tmp_path) == {
        "1234567": [tmp_path / names[0], tmp_path / names[2]],
        "9000001": [tmp_path / names[3]],
    }
    assert find_cine_zips(tmp_path, visit=3) == {"1234567": [tmp_path / names[1]]}


def test_absent_folder_and_wrong_visit_are_refused(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"the image folder must exist, however: .*nowhere"):
        find_cine_zips(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="visit must be a positive integer, however: visit=0"):
        find_cine_zips(tmp_path, visit=0)


def test_phases_and_slice_of_the_phantom_cohort_are_found(tmp_path):
    pd = pytest.importorskip("pandas")
    size = PhantomImageSize(n_slices=6, n_frames=20, rows=80, columns=80)
    write_phantom_download(tmp_path, n_subjects=10, seed=11, image=size)
    truth = pd.read_csv(tmp_path / "truth.csv", dtype={"eid": str}).set_index("eid")
    n_right = 0
    for eid, paths in find_cine_zips(tmp_path).items():
        frames = select_frames(read_cine(paths[0]))
        expected = truth.loc[eid]
        distances = [(frames.phase_indices[name] - int(expected[f"{name}_frame"])) % 20 for name in ("ed", "es")]
        n_right += all(distance in (19, 0, 1) for distance in distances)
        assert abs(frames.slice_index - expected["mid_slice"]) <= 1
        assert frames.confidence > 0.8
    assert n_right >= 9


@pytest.mark.skipif(not REAL.is_dir(), reason="real scans are not at hand")
@pytest.mark.parametrize("challenge", ["acdc", "mnms"])
def test_real_scans_show_a_bright_beating_pool_in_the_middle(challenge):
    folder = REAL / challenge
    stack = read_cine(EDESPair(ed=folder / "sax_ed.nii.gz", es=folder / "sax_es.nii.gz"))
    frames = select_frames(stack)
    image = to_model_image(frames)
    assert image.shape == (3, 128, 128)
    assert image.min() >= 0
    assert image.max() <= 1
    assert abs(frames.slice_index - (stack.shape[2] - 1) / 2) <= 2
    assert len(frames.findings) == 1  # the mean frame; not "swapped"
    heart = image[:, 34:94, 34:94]
    motion = np.abs(image[2] - image[0])
    assert motion[34:94, 34:94].mean() > 2 * motion.mean()
    assert (heart[2] > 0.5).sum() > (heart[0] > 0.5).sum()
