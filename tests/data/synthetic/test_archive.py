import csv
import io
import re
import zipfile
from collections import defaultdict
from datetime import date

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from dymo_med.data.synthetic import PhantomFault, PhantomImageSize
from dymo_med.data.synthetic.acquisition import draw_pose
from dymo_med.data.synthetic.archive import CineScan, archive_path, write_archive

SIZE = PhantomImageSize(n_slices=3, n_frames=8, rows=40, columns=48)


def scan(*, with_inline_vf=False, eid=9000042):
    rng = np.random.default_rng(5)
    values = rng.integers(0, 900, (3, 8, 40, 48)).astype(np.uint16)
    return CineScan(
        eid=eid,
        seed=1,
        values=values,
        image=SIZE,
        pose=draw_pose(rng),
        scan_date=date(2015, 11, 3),
        cycle_ms=880.0,
        with_inline_vf=with_inline_vf,
    )


@pytest.fixture
def write(tmp_path):
    def act(content, fault=None):
        path = tmp_path / "scan.zip"
        write_archive(path, content, np.random.default_rng(2), fault=fault)
        return path

    return act


def objects(path):
    with zipfile.ZipFile(path) as archive:
        return [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist() if name.endswith(".dcm")]


def test_name_and_shard_of_an_archive(tmp_path):
    assert archive_path(tmp_path, 9123456).relative_to(tmp_path).as_posix() == "91/9123456_20209_2_0.zip"


def test_members_are_opaque_objects_and_one_manifest(write):
    with zipfile.ZipFile(write(scan())) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert names[-1] == "manifest.cvs"
    assert len(set(names)) == 3 * 8 + 1
    assert all(re.fullmatch(r"[0-9a-f]{8}\.dcm", name) for name in names[:-1])


def test_manifest_lists_every_object_and_its_dates_break_naive_parsing(write):
    path = write(scan())
    with zipfile.ZipFile(path) as archive:
        lines = list(csv.reader(archive.read("manifest.cvs").decode().splitlines()))
        names = set(archive.namelist()) - {"manifest.cvs"}
    assert lines[0] == ["filename", "series discription", "seriesid", "patientid", "date"]
    assert {line[0] for line in lines[1:]} == names
    assert {line[1] for line in lines[1:]} == {f"CINE_segmented_SAX_b{k}" for k in (1, 2, 3)}
    assert all(len(line) == 6 and line[4:] == ["Nov 3", " 2015"] for line in lines[1:])


def test_tags_of_an_object(write):
    for found in objects(write(scan())):
        assert found.SOPClassUID == found.file_meta.MediaStorageSOPClassUID == MRImageStorage
        assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID
        assert (found.Modality, found.PhotometricInterpretation) == ("MR", "MONOCHROME2")
        assert (found.Rows, found.Columns, found.BitsAllocated, found.PixelRepresentation) == (40, 48, 16, 0)
        assert (found.SliceThickness, found.SpacingBetweenSlices, found.CardiacNumberOfImages) == (8, 10, 8)
        assert list(found.PixelSpacing) == [SIZE.pixel_spacing_mm] * 2
        assert found.PatientID == "9000042"
        assert not found.PatientName
        assert not found.PatientBirthDate
        assert not found.StudyDate


def test_identifiers_are_unique_derived_and_well_formed(write):
    found = objects(write(scan()))
    instances = {one.SOPInstanceUID for one in found}
    assert len(instances) == 24
    assert len({one.SeriesInstanceUID for one in found}) == 3
    assert len({one.StudyInstanceUID for one in found}) == 1
    assert all(uid.startswith("2.25.") and uid.is_valid and len(uid) <= 64 for uid in instances)
    assert instances == {one.SOPInstanceUID for one in objects(write(scan()))}
    assert instances.isdisjoint(one.SOPInstanceUID for one in objects(write(scan(eid=9000043))))


def test_geometry_and_time_lead_back_to_the_pixels(write):
    source = scan()
    found = objects(write(source))
    row, column = np.split(np.array(found[0].ImageOrientationPatient, dtype=float), 2)
    assert row @ column == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
    normal = np.cross(row, column)
    assert normal @ source.pose.to_apex == pytest.approx(-1, abs=1e-6)
    places = sorted({tuple(map(float, one.ImagePositionPatient)) for one in found}, key=lambda p: -np.dot(p, normal))
    steps = np.diff(np.array(places), axis=0)
    assert np.allclose(steps, -10 * normal, atol=1e-4)
    for one in found:
        k = places.index(tuple(map(float, one.ImagePositionPatient)))
        t = round(float(one.TriggerTime) / 110)
        assert float(one.TriggerTime) == pytest.approx(110 * t, abs=0.01)
        assert one.SeriesDescription == f"CINE_segmented_SAX_b{k + 1}"
        assert np.array_equal(one.pixel_array, source.values[k, t])


def test_center_of_the_stack_is_the_center_of_its_pixels(write):
    source = scan()
    found = next(one for one in objects(write(source)) if one.SeriesDescription.endswith("b2"))
    row, column = np.split(np.array(found.ImageOrientationPatient, dtype=float), 2)
    middle = np.array(found.ImagePositionPatient, dtype=float) + SIZE.pixel_spacing_mm * (23.5 * row + 19.5 * column)
    assert np.allclose(middle, source.pose.center_mm, atol=1e-4)


def test_neither_number_nor_order_tells_the_time(write):
    by_series = defaultdict(list)
    for one in objects(write(scan())):
        by_series[one.SeriesDescription].append((float(one.TriggerTime), int(one.InstanceNumber)))
    for pairs in by_series.values():
        times = [time for time, _ in pairs]
        numbers = [number for _, number in sorted(pairs)]
        assert times != sorted(times)
        assert numbers != sorted(numbers)


def test_inline_vf_series_is_derived_and_has_its_own_name(write):
    found = objects(write(scan(with_inline_vf=True)))
    derived = [one for one in found if "InlineVF" in one.SeriesDescription]
    assert len(derived) == 8
    assert len(found) == 32
    assert all(one.ImageType[0] == "DERIVED" for one in derived)
    assert {one.ImageType[0] for one in found if one not in derived} == {"ORIGINAL"}
    assert len({one.SOPInstanceUID for one in found}) == 32


def test_truncated_archive_cannot_be_opened(write):
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(write(scan(), PhantomFault.TRUNCATED_ZIP))


def test_one_object_without_position(write):
    found = objects(write(scan(), PhantomFault.NO_POSITION))
    without = [one for one in found if "ImagePositionPatient" not in one]
    assert [one.SeriesDescription for one in without] == ["CINE_segmented_SAX_b2"]
    assert "ImageOrientationPatient" in without[0]
    assert without[0].pixel_array.shape == (40, 48)


def test_one_object_without_pixels(write):
    found = objects(write(scan(), PhantomFault.NO_PIXELS))
    assert [one.SeriesDescription for one in found if "PixelData" not in one] == ["CINE_segmented_SAX_b2"]


def test_archive_without_short_axis(write):
    found = objects(write(scan(), PhantomFault.NO_SAX_SERIES))
    assert {one.SeriesDescription for one in found} == {"CINE_segmented_LAX_2Ch"}


def test_forged_length_announces_more_than_there_is(write):
    with zipfile.ZipFile(write(scan(), PhantomFault.FORGED_LENGTH)) as archive:
        contents = [archive.read(name) for name in archive.namelist() if name.endswith(".dcm")]
    announced = [int.from_bytes(content[-40 * 48 * 2 - 4 : -40 * 48 * 2], "little") for content in contents]
    assert sorted(announced)[-2:] == [40 * 48 * 2, 16 * 40 * 48 * 2]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("n_slices", 0, "n_slices must be a positive integer, however: n_slices=0"),
        ("n_frames", 3, "n_frames must be at least 4 to show a beating heart, however: n_frames=3"),
        ("rows", 23, "rows must be at least 24 to show a beating heart, however: rows=23"),
        ("columns", 2.5, "columns must be a positive integer, however: columns=2.5"),
    ],
)
def test_sizes_without_a_beating_heart_are_refused(name, value, text):
    with pytest.raises(ValueError, match=text):
        PhantomImageSize(**{name: value})


def test_pixels_grow_where_the_matrix_is_small():
    assert PhantomImageSize(rows=48, columns=96).pixel_spacing_mm == pytest.approx(200 / 48, abs=1e-4)
    assert PhantomImageSize(rows=208, columns=174).pixel_spacing_mm == 1.8
