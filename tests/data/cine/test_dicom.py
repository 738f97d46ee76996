import contextlib
import io
import zipfile

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from dymo_med.data.cine import IntakeLimits, read_cine, select_frames
from dymo_med.utils import SubjectError
from tests.data.cine.scans import (
    NORMAL,
    ORIGIN,
    ROW,
    STEP_MM,
    STEP_MS,
    Heart,
    dataset,
    members,
    to_bytes,
    true_affine,
    volume,
    write_scan,
    write_zip,
)

HEART = Heart()
SMALL = Heart(n_slices=3, n_phases=6, rows=12, columns=10)
PIXEL_HEADER = b"\xe0\x7f\x10\x00OW\x00\x00"


def whole(stack):
    return np.stack([stack.slice_cine(k) for k in range(stack.shape[2])], axis=2)


def only(k0, t0, edit):
    """Change one frame, leave the others."""

    def change(ds, k, t):
        return edit(ds) if (k, t) == (k0, t0) else ds

    return change


def each(edit):
    """Change every frame alike."""

    def change(ds, k, t):
        return edit(ds)

    return change


def without(missing_slice):
    def change(ds, k, t):
        return None if k == missing_slice else ds

    return change


def drop(name):
    def edit(ds):
        delattr(ds, name)
        return ds

    return edit


def put(**values):
    def edit(ds):
        for name, value in values.items():
            setattr(ds, name, value)
        return ds

    return edit


def patched(heart, old, new, index=0):
    """A scan in which the bytes of one member were edited."""
    content = members(heart)
    name, data = content[index]
    assert old in data
    content[index] = (name, data.replace(old, new, 1))
    return content


def refused(path, match, **limits):
    with pytest.raises(SubjectError, match=match) as caught:
        read_cine(path, limits=IntakeLimits(**limits))
    assert "\n" not in str(caught.value)


def test_geometry_timing_and_pixels_equal_the_truth(tmp_path):
    stack = read_cine(write_scan(tmp_path / "a.zip", HEART))
    assert stack.shape == (48, 40, 5, 12)
    np.testing.assert_allclose(stack.affine, true_affine(HEART), rtol=0, atol=1e-6)
    np.testing.assert_allclose(stack.spacing_mm, (3.5, 3.75, 9.5), atol=1e-6)
    np.testing.assert_allclose(stack.trigger_time_ms, np.arange(12) * STEP_MS)
    np.testing.assert_array_equal(whole(stack), volume(HEART))
    assert stack.findings == ()


def test_names_numbers_and_order_of_files_carry_no_order(tmp_path):
    rng = np.random.default_rng(0)
    content = [(f"{i}.dcm", data) for i, (_, data) in zip(rng.permutation(60), members(HEART), strict=True)]
    stack = read_cine(write_zip(tmp_path / "a.zip", [content[i] for i in rng.permutation(60)]))
    np.testing.assert_array_equal(whole(stack), volume(HEART))


def test_one_mixed_series_gives_the_same_stack(tmp_path):
    mixed = put(SeriesDescription="CINE_segmented_SAX", SeriesInstanceUID="2.25.5")
    stack = read_cine(write_scan(tmp_path / "a.zip", HEART, each(mixed)))
    np.testing.assert_array_equal(whole(stack), volume(HEART))


def test_rescale_and_signed_pixels_equal_pydicom(tmp_path):
    def change(ds, k, t):
        ds.RescaleSlope, ds.RescaleIntercept, ds.PixelRepresentation = "0.5", "-20", 1
        ds.PixelData = (HEART.frame(k, t).astype("<i2") - 100).tobytes()
        return ds

    stack = read_cine(write_scan(tmp_path / "a.zip", HEART, change))
    oracle = pydicom.pixels.apply_rescale(
        change(dataset(HEART, 2, 4), 2, 4).pixel_array, change(dataset(HEART, 2, 4), 2, 4)
    )
    np.testing.assert_allclose(stack.frame(2, 4), oracle.T)
    assert stack.frame(2, 4).dtype == np.float32


def test_implicit_and_eight_bit_and_compressed_files_are_read(tmp_path):
    def implicit(ds, k, t):
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        return ds

    def eight_bit(ds, k, t):
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit = 7
        ds.PixelData = HEART.frame(k, t).clip(0, 255).astype("u1").tobytes()
        return ds

    def compressed(ds, k, t):
        ds.compress(RLELossless)
        return ds

    for name, change in (("i", implicit), ("8", eight_bit), ("c", compressed)):
        stack = read_cine(write_scan(tmp_path / f"{name}.zip", HEART, change))
        expected = volume(HEART)[:, :, 2, 3]
        np.testing.assert_array_equal(stack.frame(2, 3), expected.clip(0, 255) if name == "8" else expected)


def test_missing_decoder_is_named_with_the_remedy(tmp_path, monkeypatch):
    def change(ds, k, t):
        ds.compress(RLELossless)
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
        return ds

    stack = read_cine(write_scan(tmp_path / "a.zip", SMALL, change))

    class NoDecoder:
        is_available = False

    monkeypatch.setattr("dymo_med.data.cine.pixels.get_decoder", lambda *_: NoDecoder)
    with pytest.raises(
        SubjectError, match=rf"{JPEG2000Lossless}, for which no decoder .* pip install 'dymo-med\[codecs\]'"
    ):
        stack.frame(1, 0)


def test_deflated_files_which_inflate_without_bound_are_refused(tmp_path):
    def deflated(ds):
        ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        return ds

    path = write_scan(tmp_path / "a.zip", SMALL, only(0, 0, deflated))
    refused(path, rf"transfer syntax {DeflatedExplicitVRLittleEndian} in tag \(0002,0010\)")


def test_retired_and_absent_transfer_syntaxes_are_refused(tmp_path):
    written = b"1.2.840.10008.1.2.1\0"
    big_endian = patched(SMALL, written, f"{ExplicitVRBigEndian}\0".encode())
    refused(write_zip(tmp_path / "a.zip", big_endian), rf"transfer syntax {ExplicitVRBigEndian} in tag \(0002,0010\)")
    absent = patched(SMALL, written, b"\0" * 20)
    refused(write_zip(tmp_path / "b.zip", absent), r"transfer syntax absent in tag \(0002,0010\)")


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (drop("ImagePositionPatient"), r"no value in tag \(0020,0032\) of archive member '.*\.dcm'"),
        (drop("ImageOrientationPatient"), r"no value in tag \(0020,0037\)"),
        (drop("TriggerTime"), r"no value in tag \(0018,1060\)"),
        (drop("SeriesInstanceUID"), r"no value in tag \(0020,000E\)"),
        (drop("PixelData"), r"no pixels in tag \(7FE0,0010\)"),
        (drop("Rows"), r"0 bytes instead of one 16-bit integer in tag \(0028,0010\)"),
        (put(Rows=0), r"0 pixels, outside 1 to 2048 in tag \(0028,0010\)"),
        (put(Columns=4000), r"4000 pixels, outside 1 to 2048 in tag \(0028,0011\)"),
        (put(Rows=13), r"240 bytes of pixels announced instead of 260 in tag \(7FE0,0010\)"),
        (put(BitsAllocated=32), r"value 32 instead of one of \(8, 16\) in tag \(0028,0100\)"),
        (put(SamplesPerPixel=3), r"value 3 instead of one of \(1,\) in tag \(0028,0002\)"),
        (put(NumberOfFrames=6), r"6 frames in one file in tag \(0028,0008\)"),
        (put(Modality="CT"), r"'CT' instead of MR in tag \(0008,0060\)"),
        (put(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), r"instead of 1.2.840.10008.5.1.4.1.1.4 in tag \(0008,0016\)"),
        (put(PhotometricInterpretation="MONOCHROME1"), r"'MONOCHROME1' instead of MONOCHROME2"),
        (put(PixelSpacing=[0, 3.5]), r"\(0.0, 3.5\) mm where lengths above zero belong in tag \(0028,0030\)"),
        (put(SliceThickness=-8), r"\(-8.0,\) mm where lengths above zero belong in tag \(0018,0050\)"),
        (put(PixelSpacing=[3.5]), r"'3.5' instead of 2 finite number\(s\) in tag \(0028,0030\)"),
        (put(RescaleSlope="0"), r"a slope of 0, which erases the image, in tag \(0028,1053\)"),
        (put(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), r"no two perpendicular unit vectors, in tag \(0020,0037\)"),
    ],
)
def test_damaged_or_foreign_files_cost_the_subject_wherever_they_lie(tmp_path, edit, match):
    refused(write_scan(tmp_path / "a.zip", SMALL, only(2, 4, edit)), match)


def test_nan_spacing_and_text_for_numbers_are_refused(tmp_path):
    refused(
        write_zip(tmp_path / "a.zip", patched(SMALL, b"3.75\\3.5", b"nan\\nan ")), r"'nan.*nan' instead of 2 finite"
    )
    refused(write_zip(tmp_path / "b.zip", patched(SMALL, b"3.75\\3.5", b"three\\ff")), r"three.* where numbers belong")


def test_forged_pixel_length_is_refused_before_decoding(tmp_path):
    right, forged = (240).to_bytes(4, "little"), (0x7FFFFFF0).to_bytes(4, "little")
    content = patched(SMALL, PIXEL_HEADER + right, PIXEL_HEADER + forged, index=5)
    refused(write_zip(tmp_path / "a.zip", content), r"2147483632 bytes of pixels announced instead of 240")
    undefined = patched(SMALL, PIXEL_HEADER + right, PIXEL_HEADER + b"\xff" * 4)
    refused(write_zip(tmp_path / "b.zip", undefined), r"4294967295 bytes of pixels announced instead of 240")


def test_truncated_file_inside_a_sound_zip_is_refused(tmp_path):
    content = members(SMALL)
    name, data = content[3]
    refused(
        write_zip(tmp_path / "a.zip", [*content[:3], (name, data[:-40])]), "240 bytes of pixels announced, 200 left"
    )
    refused(write_zip(tmp_path / "b.zip", [*content[:3], (name, data[:600])]), "archive member")
    refused(
        write_zip(tmp_path / "c.zip", [*content[:3], (name, b"text")]),
        "no DICM after the preamble, so that the 4 bytes are no",
    )


def test_deeply_nested_sequences_are_refused(tmp_path):
    item = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    start = b"\x08\x00\x08\x00CS"
    refused(
        write_zip(tmp_path / "a.zip", patched(SMALL, start, item * 5000 + start)),
        r"sequences nested more than 32 deep in tag \(0008,1140\) of archive member '.*': the file is damaged",
    )


def test_damaged_pixels_of_a_used_slice_fail_the_checksum(tmp_path):
    path = tmp_path / "a.zip"
    content = members(HEART)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content:
            archive.writestr(name, data)
    frame = HEART.frame(2, 5).astype("<u2").tobytes()
    stored = path.read_bytes()
    path.write_bytes(stored.replace(frame, frame[:-1] + b"\x01"))
    with pytest.raises(SubjectError, match=r"unreadable content \(BadZipFile\) in archive member"):
        select_frames(read_cine(path))


def test_derived_and_foreign_series_are_left_out_with_a_finding(tmp_path):
    extra = []
    for t in range(12):
        ds = put(SeriesDescription="CINE_segmented_SAX_InlineVF", SeriesInstanceUID="2.25.9")(dataset(HEART, 2, t))
        extra.append((f"vf{t}.dcm", to_bytes(ds)))
    derived = put(ImageType=["DERIVED", "SECONDARY"], SeriesInstanceUID="2.25.8")(dataset(HEART, 1, 0))
    extra += [("d.dcm", to_bytes(derived)), ("notes.txt", b"hello")]
    stack = read_cine(write_scan(tmp_path / "a.zip", HEART, extra=extra))
    np.testing.assert_array_equal(whole(stack), volume(HEART))
    assert stack.findings == (
        "left out 1 file(s) of other files such as 'notes.txt'",
        "left out 12 file(s) of series 'CINE_segmented_SAX_InlineVF'",
        "left out 1 file(s) of series 'CINE_segmented_SAX_b2 (derived images)'",
    )


@pytest.mark.parametrize("description", ["CINE_segmented_LAX_2Ch", "CINE_segmented_SAX_b", "xCINE_segmented_SAX_b1"])
def test_zip_without_short_axis_names_what_it_holds(tmp_path, description):
    path = write_scan(tmp_path / "a.zip", SMALL, each(put(SeriesDescription=description)))
    refused(path, rf"no original series named CINE_segmented_SAX \(left out 18 file\(s\) of series '{description}'\)")
    refused(write_zip(tmp_path / "b.zip", []), r"\(no DICOM file at all\)")


def repeat(k, *, time, phases=range(12), uid="2.25.500", offset=0):
    found = []
    for t in phases:
        ds = put(SeriesInstanceUID=uid, SeriesTime=time)(dataset(HEART, k, t))
        ds.PixelData = (HEART.frame(k, t) + offset).astype("<u2").tobytes()
        found.append((f"repeat{uid}.{t}.dcm", to_bytes(ds)))
    return found


@pytest.mark.parametrize("k", [0, 2])
def test_repeated_slice_takes_the_later_complete_acquisition(tmp_path, k):
    later = read_cine(write_scan(tmp_path / "a.zip", HEART, extra=repeat(k, time="101700", offset=7)))
    np.testing.assert_array_equal(later.slice_cine(k), volume(HEART)[:, :, k] + 7)
    name = f"CINE_segmented_SAX_b{k + 1}"
    used = "the complete, later acquisition was used"
    assert later.findings == (f"series '{name}' repeats slice {k} (2 acquisitions): {used}",)
    earlier = read_cine(write_scan(tmp_path / "b.zip", HEART, extra=repeat(k, time="095959", offset=7)))
    np.testing.assert_array_equal(earlier.slice_cine(k), volume(HEART)[:, :, k])


def test_repeated_slice_prefers_complete_over_later(tmp_path):
    extra = repeat(2, time="101700", phases=range(9), offset=7)
    stack = read_cine(write_scan(tmp_path / "a.zip", HEART, extra=extra))
    np.testing.assert_array_equal(stack.slice_cine(2), volume(HEART)[:, :, 2])
    assert stack.findings == (
        "series 'CINE_segmented_SAX_b3' repeats slice 2 (2 acquisitions): the complete acquisition was used",
    )


def test_repeats_without_order_in_time_are_refused(tmp_path):
    match = r"2 complete acquisitions without distinct acquisition times \(0008,0032\) in slice 2: remove"
    refused(write_scan(tmp_path / "a.zip", HEART, extra=repeat(2, time="101500.5")), match)
    refused(write_scan(tmp_path / "b.zip", HEART, extra=repeat(2, time="")), match)


def shift(ds):
    """Move the frame within its plane."""
    position = np.array(ds.ImagePositionPatient, float) + 0.7 * ROW
    return put(ImagePositionPatient=[f"{v:.8f}" for v in position])(ds)


@pytest.mark.parametrize(
    ("edit", "phases", "problem"),
    [
        (lambda _: None, [4], "7 phases instead of 8"),
        (lambda _: None, [7], "7 phases instead of 8"),
        (
            put(TriggerTime=3 * STEP_MS),
            [4],
            r"1 trigger times \(0018,1060\) that occur twice, so that phases have no order,",
        ),
        (put(TriggerTime=1000.0), [7], r"a gap of 812.5 ms between trigger times 31.2 ms apart"),
        (
            put(PixelSpacing=[3.75, 3.6]),
            range(8),
            r"pixel spacing \(3.75, 3.6\) mm where the stack has \(3.75, 3.5\) mm",
        ),
        (put(PixelSpacing=[3.75, 3.6]), [1], "phases of 2 different sizes, spacings or orientations"),
        (put(Rows=20, Columns=16), range(8), "20 x 16 pixels where the stack has 16 x 20"),
        (shift, [2], "phases whose positions differ by 0.50 mm"),
    ],
)
def test_irregular_slice_is_an_error_in_the_center_and_a_finding_outside(tmp_path, edit, phases, problem):
    heart = Heart(n_slices=6, n_phases=8, rows=16, columns=20)

    def change(ds, k, t):
        return edit(ds) if k == faulty and t in phases else ds

    faulty = 2
    refused(
        write_scan(tmp_path / "a.zip", heart, change), f"{problem} in slice 2: download the zip again or take another"
    )
    faulty = 0
    outer = read_cine(write_scan(tmp_path / "b.zip", heart, change))
    assert len(outer.findings) == 1
    assert outer.findings[0].endswith("in slice 0, outside the slices in use")
    np.testing.assert_array_equal(outer.slice_cine(3), volume(heart)[:, :, 3])
    np.testing.assert_allclose(outer.affine, true_affine(heart), atol=1e-6)
    with pytest.raises(SubjectError, match=problem):
        outer.frame(0, 0)


def test_tilted_outer_slice_is_a_finding(tmp_path):
    heart = Heart(n_slices=6)

    def tilt(ds, k, t):
        row = np.array(ds.ImageOrientationPatient[:3], float)
        column = np.array(ds.ImageOrientationPatient[3:], float)
        turned = [*(np.cos(0.05) * row + np.sin(0.05) * column), *(np.cos(0.05) * column - np.sin(0.05) * row)]
        return put(ImageOrientationPatient=[f"{v:.10f}" for v in turned])(ds) if k == which else ds

    which = 5
    assert "orientation whose cosines differ" in read_cine(write_scan(tmp_path / "a.zip", heart, tilt)).findings[0]
    which = 2
    refused(write_scan(tmp_path / "b.zip", heart, tilt), "an orientation whose cosines differ from the stack's by 0.0")


def test_absent_or_shifted_slice_is_an_error_in_the_center_and_a_finding_outside(tmp_path):
    heart = Heart(n_slices=8)
    gone = write_scan(tmp_path / "a.zip", heart, without(3))
    refused(gone, r"a step of 19.00 mm where 9.50 mm are usual in the gap between slices 2 and 3")
    outer = read_cine(write_scan(tmp_path / "b.zip", heart, without(1)))
    assert outer.shape[2] == 7
    assert outer.findings == (
        "a step of 19.00 mm where 9.50 mm are usual between slices 0 and 1, outside the slices in use",
    )
    index = outer.affine @ [0, 0, 3, 1]  # slice 3 of those left is slice 4 of the heart
    np.testing.assert_allclose(index, true_affine(heart) @ [0, 0, 4, 1], atol=1e-6)


def test_more_phases_than_announced_is_a_finding_and_fewer_an_error(tmp_path):
    stack = read_cine(write_scan(tmp_path / "a.zip", HEART, each(put(CardiacNumberOfImages=10))))
    assert stack.findings == ("12 phases where Cardiac Number of Images (0018,1090) announces 10",)
    more = write_scan(tmp_path / "b.zip", HEART, each(put(CardiacNumberOfImages=13)))
    refused(more, "12 phases instead of 13 in slice 1")
    silent = read_cine(write_scan(tmp_path / "c.zip", HEART, each(drop("CardiacNumberOfImages"))))
    assert silent.shape == (48, 40, 5, 12)


def test_single_slice_takes_its_depth_from_the_header(tmp_path):
    single = Heart(n_slices=1)
    stack = read_cine(write_scan(tmp_path / "a.zip", single))
    np.testing.assert_allclose(stack.spacing_mm, (3.5, 3.75, 8.0), atol=1e-6)
    np.testing.assert_allclose(stack.affine[:3, 3], [-ORIGIN[0], -ORIGIN[1], ORIGIN[2]], atol=1e-6)
    spaced = read_cine(write_scan(tmp_path / "b.zip", single, each(put(SpacingBetweenSlices=STEP_MM))))
    np.testing.assert_allclose(spaced.affine[:3, 2], NORMAL * STEP_MM * [-1, -1, 1], atol=1e-6)
    flat = write_scan(tmp_path / "c.zip", single, each(drop("SliceThickness")))
    refused(flat, r"neither Spacing Between Slices \(0018,0088\) nor Slice Thickness \(0018,0050\) in the only slice")


def test_long_and_unequal_headers_are_found_without_the_whole_file(tmp_path):
    def change(ds, k, t):
        ds.add_new((0x0029, 0x0010), "LO", "VENDOR HEADER")
        ds.add_new((0x0029, 0x1010), "OB", bytes(200 * k * t + (70000 if (k, t) == (1, 1) else 0)))
        return ds

    stack = read_cine(write_scan(tmp_path / "a.zip", HEART, change))
    np.testing.assert_array_equal(whole(stack), volume(HEART))


@pytest.fixture(scope="module")
def sound_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members(SMALL):
            archive.writestr(name, data)
    return buffer.getvalue()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_any_damage_ends_in_frames_or_a_subject_error(tmp_path, sound_zip, at, byte, cut):
    position = int(at * len(sound_zip))
    rest = b"" if cut else bytes([byte]) + sound_zip[position + 1 :]
    path = tmp_path / "a.zip"
    path.write_bytes(sound_zip[:position] + rest)
    with contextlib.suppress(SubjectError):
        assert select_frames(read_cine(path)).values.shape == (3, 10, 12)
