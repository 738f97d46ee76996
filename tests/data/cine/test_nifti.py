import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from dymo_med.data.cine import EDESPair, IntakeLimits, read_cine
from dymo_med.utils import SubjectError
from tests.data.cine.scans import Heart, true_affine, volume, write_nifti

HEART = Heart(n_slices=3, n_phases=6, rows=14, columns=18)
AFFINE = true_affine(HEART)
VALUES = volume(HEART)


def refused(source, match, **limits):
    with pytest.raises(SubjectError, match=match) as caught:
        read_cine(source, limits=IntakeLimits(**limits))
    assert "\n" not in str(caught.value)


def reoriented(values, affine, flips, swap):
    """Store the same scan with other voxel axes: an independent rewrite of values and affine."""
    values, affine = values.copy(), affine.copy()
    for axis in flips:
        values = np.flip(values, axis)
        affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
        affine[:3, axis] *= -1
    if swap:
        values = np.swapaxes(values, 0, 1)
        affine = affine[:, [1, 0, 2, 3]]
    return values, affine


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("flips", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_any_stored_axes_give_the_display_orientation(tmp_path, flips, swap, ending):
    stack = read_cine(write_nifti(tmp_path / f"a{ending}", *reoriented(VALUES, AFFINE, flips, swap)))
    assert stack.shape == VALUES.shape
    np.testing.assert_allclose(stack.affine, AFFINE, atol=2e-5)
    for k in range(3):
        np.testing.assert_array_equal(stack.slice_cine(k), VALUES[:, :, k])
    np.testing.assert_allclose(stack.trigger_time_ms, np.arange(6) * 31.25, rtol=1e-6)


def test_slice_order_stays_as_stored_and_the_affine_follows(tmp_path):
    values, affine = reoriented(VALUES, AFFINE, (2,), swap=False)
    stack = read_cine(write_nifti(tmp_path / "a.nii", values, affine))
    np.testing.assert_array_equal(stack.frame(0, 1), VALUES[:, :, 2, 1])
    np.testing.assert_allclose(stack.affine @ [0, 0, 0, 1], AFFINE @ [0, 0, 2, 1], atol=1e-4)


@pytest.mark.parametrize(
    ("axes", "x", "y"),
    [
        ([[0, 1, 0], [1, 0, 0], [0, 0, 1]], [-1, 0, 0], [0, -1, 0]),  # plane of left and back: left, then back
        ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], [-1, 0, 0], [0, 0, -1]),  # left and feet
        ([[0, 0, 1], [0, 1, 0], [1, 0, 0]], [0, -1, 0], [0, 0, -1]),  # back and feet
    ],
)
def test_display_runs_left_or_back_and_then_back_or_down(tmp_path, axes, x, y):
    affine = np.eye(4)
    affine[:3, :3] = np.array(axes, float).T * [2, 2, 9]
    stack = read_cine(write_nifti(tmp_path / "a.nii", VALUES, affine))
    np.testing.assert_allclose(stack.affine[:3, 0] / 2, x, atol=1e-6)
    np.testing.assert_allclose(stack.affine[:3, 1] / 2, y, atol=1e-6)


def test_scale_and_intercept_are_applied(tmp_path):
    image = nib.Nifti1Image(VALUES, AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "a.nii.gz")
    stack = read_cine(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(stack.frame(1, 2), nib.load(tmp_path / "a.nii.gz").get_fdata()[:, :, 1, 2], rtol=1e-6)
    assert stack.frame(1, 2).dtype == np.float32


def test_pair_is_a_stack_of_two_known_phases(tmp_path):
    pair = EDESPair(
        ed=write_nifti(tmp_path / "ed.nii.gz", VALUES[..., 0], AFFINE),
        es=write_nifti(tmp_path / "es.nii.gz", VALUES[..., 3], AFFINE),
    )
    stack = read_cine(pair)
    assert stack.shape == (18, 14, 3, 2)
    assert stack.known_phases == (0, 1)
    assert np.isnan(stack.trigger_time_ms).all()
    np.testing.assert_array_equal(stack.frame(2, 0), VALUES[:, :, 2, 0])
    np.testing.assert_array_equal(stack.frame(2, 1), VALUES[:, :, 2, 3])


def test_files_of_a_pair_must_share_a_grid(tmp_path):
    ed = write_nifti(tmp_path / "ed.nii", VALUES[..., 0], AFFINE)
    short = write_nifti(tmp_path / "short.nii", VALUES[:, :, :2, 3], AFFINE)
    refused(EDESPair(ed=ed, es=short), r"shapes \(18, 14, 3\) and \(18, 14, 2\) in the ED and ES NIfTI files")
    moved_affine = AFFINE.copy()
    moved_affine[0, 3] += 1.5
    moved = write_nifti(tmp_path / "moved.nii", VALUES[..., 3], moved_affine)
    refused(EDESPair(ed=ed, es=moved), r"affines that differ by up to 1.500 mm in the ED and ES NIfTI files")
    refused(EDESPair(ed=ed, es=tmp_path / "none.nii"), "no such file in the ES NIfTI file: check the path")


@pytest.mark.parametrize("step_s", [0, None])
def test_unknown_frame_interval_is_a_finding(tmp_path, step_s):
    path = write_nifti(tmp_path / "a.nii", VALUES, AFFINE, step_s)
    if step_s is None:
        image = nib.load(path)
        image.header.set_xyzt_units("mm", "unknown")
        nib.save(nib.Nifti1Image(VALUES, AFFINE, image.header), path)
    stack = read_cine(path)
    assert np.isnan(stack.trigger_time_ms).all()
    assert stack.findings == ("the fourth voxel size holds no frame interval: phase times are unknown",)


def test_wrong_number_of_axes_is_refused(tmp_path):
    still = write_nifti(tmp_path / "a.nii", VALUES[..., 0], AFFINE)
    refused(
        still, r"shape \(18, 14, 3\) instead of 4 axes in the 4D NIfTI file: pass a 4D cine, or 3D files as an EDESPair"
    )
    cine = write_nifti(tmp_path / "b.nii", VALUES, AFFINE)
    refused(EDESPair(ed=cine, es=cine), r"shape \(18, 14, 3, 6\) instead of 3 axes in the ED NIfTI file")


def test_file_without_orientation_is_refused(tmp_path):
    image = nib.Nifti1Image(VALUES, None)
    nib.save(image, tmp_path / "a.nii")
    refused(tmp_path / "a.nii", "neither sform nor qform in the 4D NIfTI file: convert from DICOM again")


def affine_with(**columns):
    affine = np.diag([-2.0, -2.0, 9.0, 1.0])
    for axis, column in columns.items():
        affine[:3, "xyz".index(axis)] = column
    return affine


@pytest.mark.parametrize(
    ("affine", "match"),
    [
        (affine_with(z=[0, 0, 0.5]), "spacing 2 x 2 x 0.5 mm in .*: make the slices the third axis"),
        (affine_with(y=[-1, -2, 0]), "in-plane axes at a cosine of 0.4472"),
        (affine_with(y=[0, np.nan, 0]), r"voxel sizes \[2.0, nan, 9.0\] mm"),
        (affine_with(x=[0, 0, 0]), r"voxel sizes \[0.0, 2.0, 9.0\] mm"),
    ],
)
def test_impossible_geometry_is_refused(tmp_path, affine, match):
    whole = nib.Nifti1Image(VALUES, np.diag([-2.0, -2.0, 9.0, 1.0])).to_bytes()
    header = nib.Nifti1Header(whole[:348])
    header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]  # nibabel itself refuses to write some of these
    (tmp_path / "a.nii").write_bytes(header.binaryblock + whole[348:])
    refused(tmp_path / "a.nii", match)


def test_other_units_and_voxel_types_are_refused(tmp_path):
    image = nib.Nifti1Image(VALUES, AFFINE)
    image.header.set_xyzt_units("meter", "sec")
    nib.save(image, tmp_path / "a.nii")
    refused(tmp_path / "a.nii", "voxel sizes in meter in the 4D NIfTI file: write them in mm")
    nib.save(nib.Nifti1Image(VALUES.astype(np.complex64), AFFINE), tmp_path / "b.nii")
    refused(tmp_path / "b.nii", "voxels of type complex64")


def test_limits_hold_before_pixels_are_loaded(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", VALUES, AFFINE)
    refused(path, r"shape \(18, 14, 3, 6\) \(9072 bytes\), over the limits", max_total_bytes=9000)
    refused(path, "over the limits", max_rows_columns=16)


def test_damaged_files_are_refused(tmp_path):
    whole = gzip.decompress(write_nifti(tmp_path / "a.nii.gz", VALUES, AFFINE).read_bytes())
    (tmp_path / "cut.nii").write_bytes(whole[:100])
    refused(tmp_path / "cut.nii", r"unreadable header \(\w+\) in the 4D NIfTI file")
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole[:-500]))
    with pytest.raises(SubjectError, match=r"unreadable pixels \(\w+\) in the 4D NIfTI file: the file is truncated"):
        read_cine(tmp_path / "cut.nii.gz").frame(0, 0)
    nib.save(nib.MGHImage(VALUES.astype(np.float32), AFFINE), tmp_path / "a.mgh")
    (tmp_path / "a.mgh").rename(tmp_path / "mgh.nii")
    refused(tmp_path / "mgh.nii", "in the 4D NIfTI file")


@pytest.mark.parametrize(("place", "form", "value"), [(252, "<h", -1), (254, "<h", 99), (80, "<f", -3.5)])
def test_faults_that_nibabel_would_repair_are_refused(tmp_path, place, form, value):
    path = write_nifti(tmp_path / "a.nii", volume(HEART), true_affine(HEART))
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, place, value)
    path.write_bytes(content)
    with pytest.raises(SubjectError, match=r"unreadable header \(HeaderDataError\) in the 4D NIfTI file"):
        read_cine(path)
