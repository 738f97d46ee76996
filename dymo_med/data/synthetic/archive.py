"""Zip archives of DICOM objects in the form in which UK Biobank hands out short-axis cines (field 20209)."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from dymo_med.data.synthetic.acquisition import SLICE_STEP_MM, SLICE_THICKNESS_MM, PhantomImageSize, StackPose
from dymo_med.data.synthetic.faults import PhantomFault
from dymo_med.utils import atomic_path

__all__ = ["CineScan", "archive_path", "write_archive"]

_SERIES_PREFIX = "CINE_segmented_SAX"
_OTHER_VIEW = "CINE_segmented_LAX_2Ch"
# Stand-ins of the width of what replaces them, so that one encoded header serves all frames of a slice.
_UID_SLOT, _TIME_SLOT, _NUMBER_SLOT = "2.25." + "7" * 35, "77777.77", "+77777"
_PIXEL_TAG = b"\xe0\x7f\x10\x00OW\x00\x00"
_ZIP_TIME = (2015, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class CineScan:
    """One simulated scan, ready to be written.

    Args:
        eid: Seven-digit participant id; simulated ids lie outside the registry's range.
        seed: Seed of the cohort; unique identifiers follow from it.
        values: (S, T, rows, columns) stored values, slices from base to apex.
        image: Size of the scan.
        pose: Where the stack lies.
        scan_date: Date of the visit, written into the manifest only.
        cycle_ms: Length of the cardiac cycle in ms.
        with_inline_vf: Add a derived InlineVF series, which no analysis of raw cines should read.

    Example:
        >>> from dymo_med.data.synthetic.acquisition import draw_pose
        >>> size = PhantomImageSize(n_slices=1, n_frames=4, rows=24, columns=24)
        >>> pose = draw_pose(np.random.default_rng(0))
        >>> scan = CineScan(eid=9000000, seed=0, values=np.zeros((1, 4, 24, 24), np.uint16), image=size, pose=pose,
        ...                 scan_date=date(2015, 11, 3), cycle_ms=900.0, with_inline_vf=False)
        >>> scan.uid("study")[:5]
        '2.25.'
    """

    eid: int
    seed: int
    values: npt.NDArray[np.uint16]
    image: PhantomImageSize
    pose: StackPose
    scan_date: date
    cycle_ms: float
    with_inline_vf: bool

    def uid(self, *parts: object) -> str:
        """Give a unique identifier of 40 characters that follows from cohort, subject and ``parts``."""
        digest = hashlib.sha256("/".join(map(str, (self.seed, self.eid, *parts))).encode()).digest()
        return f"2.25.{10**34 + int.from_bytes(digest[:16], 'big') % (9 * 10**34)}"


@dataclass(frozen=True)
class _Member:
    """One DICOM object of an archive before it gets its opaque name."""

    series: str
    series_uid: str
    content: bytes


def archive_path(folder: Path, eid: int) -> Path:
    """Give where the archive of a participant lies: sharded by the two leading digits, visit 2, array 0.

    Example:
        >>> archive_path(Path("imaging"), 9000012).as_posix()
        'imaging/90/9000012_20209_2_0.zip'
    """
    return folder / str(eid)[:2] / f"{eid}_20209_2_0.zip"


def write_archive(path: Path, scan: CineScan, rng: np.random.Generator, *, fault: PhantomFault | None = None) -> None:
    """Write a scan as a zip of DICOM objects with opaque names and a manifest.

    Objects are Explicit VR Little Endian MR images of 16 bits with shuffled InstanceNumber; the order inside the
    archive says nothing about slice or time. The manifest is called ``manifest.cvs``, its dates hold an
    unquoted comma.

    Args:
        path: Archive to write, as a whole or not at all.
        scan: What to write.
        rng: Source of randomness for order and names.
        fault: Damage to do.

    Raises:
        OSError: the archive cannot be written.

    Example:
        >>> import tempfile
        >>> from dymo_med.data.synthetic.acquisition import draw_pose
        >>> size = PhantomImageSize(n_slices=1, n_frames=4, rows=24, columns=24)
        >>> pose = draw_pose(np.random.default_rng(0))
        >>> scan = CineScan(eid=9000000, seed=0, values=np.zeros((1, 4, 24, 24), np.uint16), image=size, pose=pose,
        ...                 scan_date=date(2015, 11, 3), cycle_ms=900.0, with_inline_vf=False)
        >>> path = Path(tempfile.mkdtemp()) / "scan.zip"
        >>> write_archive(path, scan, np.random.default_rng(1))
        >>> len(zipfile.ZipFile(path).namelist())
        5
    """
    members = list(_members(scan, rng, fault))
    names = [f"{number:08x}.dcm" for number in rng.choice(2**32, len(members), replace=False).tolist()]
    date_text = f"{scan.scan_date:%b} {scan.scan_date.day}, {scan.scan_date.year}"
    lines = ["filename,series discription,seriesid,patientid,date"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for position in rng.permutation(len(members)).tolist():
            member, name = members[position], names[position]
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), member.content)
            lines.append(f"{name},{member.series},{member.series_uid},{scan.eid},{date_text}")
        archive.writestr(zipfile.ZipInfo("manifest.cvs", _ZIP_TIME), "\n".join(lines) + "\n")
    size = packed.tell()
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.getbuffer()[: size * 3 // 5 if fault is PhantomFault.TRUNCATED_ZIP else size])


def _members(scan: CineScan, rng: np.random.Generator, fault: PhantomFault | None) -> Iterator[_Member]:
    """Encode all objects; a fault of one object hits the first frame of the middle slice."""
    n_slices, n_frames = scan.image.n_slices, scan.image.n_frames
    numbers = rng.permutation(n_slices * n_frames).reshape(n_slices, n_frames) + 1
    middle = n_slices // 2
    for k in range(n_slices):
        series = _OTHER_VIEW if fault is PhantomFault.NO_SAX_SERIES else f"{_SERIES_PREFIX}_b{k + 1}"
        header = _encode(_header(scan, k, series, derived=False), scan.values[k, 0])
        for t in range(n_frames):
            content = _frame(scan, header, (k, t), int(numbers[k, t]), scan.values[k, t])
            if fault is not None and (k, t) == (middle, 0):
                content = _damaged(content, fault, scan.image)
            yield _Member(series, scan.uid("series", k, series), content)
    if scan.with_inline_vf:
        series = f"{_SERIES_PREFIX}_InlineVF"
        header = _encode(_header(scan, middle, series, derived=True), scan.values[middle, 0])
        for t in range(n_frames):
            drawn = scan.values[middle, t].copy()
            drawn[:2] = drawn.max()  # the scanner burns its result into a copy of the picture
            content = _frame(scan, header, ("vf", t), int(numbers[middle, t]), drawn)
            yield _Member(series, scan.uid("series", middle, series), content)


def _header(scan: CineScan, index: int, series: str, *, derived: bool) -> Dataset:
    """Describe one slice as a DICOM object whose per-frame values are slots."""
    spacing = scan.image.pixel_spacing_mm
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = UID(_UID_SLOT)
    header.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", "M", "RETRO", "NORM"]
    header.SeriesTime = header.AcquisitionTime = f"10{index:02d}00.000000"
    header.StudyDate = header.StudyTime = header.AccessionNumber = header.ReferringPhysicianName = ""
    header.Modality = "MR"
    header.Manufacturer = "SIMULATED"
    header.StudyDescription = "Simulated cine, no participant"
    header.SeriesDescription = series
    header.PatientName = header.PatientBirthDate = header.PatientSex = ""
    header.PatientID = str(scan.eid)
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SK", "PFP"
    header.MRAcquisitionType = "2D"
    header.SliceThickness = SLICE_THICKNESS_MM
    header.RepetitionTime, header.EchoTime, header.EchoTrainLength, header.FlipAngle = 2.6, 1.1, 1, 65
    header.MagneticFieldStrength = 1.5
    header.SpacingBetweenSlices = SLICE_STEP_MM
    header.TriggerTime = _TIME_SLOT
    header.NominalInterval = round(scan.cycle_ms)
    header.CardiacNumberOfImages = scan.image.n_frames
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = scan.uid("study")
    header.SeriesInstanceUID = scan.uid("series", index, series)
    header.StudyID = "1"
    header.SeriesNumber = 100 if derived else index + 1
    header.InstanceNumber = _NUMBER_SLOT
    header.FrameOfReferenceUID = scan.uid("frame of reference")
    header.PositionReferenceIndicator = ""
    header.ImagePositionPatient = _decimals(scan.pose.first_pixel_mm(index, scan.image), 6)
    header.ImageOrientationPatient = _decimals(np.r_[scan.pose.row_direction, scan.pose.column_direction], 9)
    header.SliceLocation = round((index - (scan.image.n_slices - 1) / 2) * SLICE_STEP_MM, 3)
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = scan.image.rows, scan.image.columns
    header.PixelSpacing = [spacing, spacing]
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    return header


def _encode(header: Dataset, sample: npt.NDArray[np.uint16]) -> bytes:
    """Encode a header with pixel data of the right length, then cut the pixels off."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = UID(_UID_SLOT)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta
    header.PixelData = sample.tobytes()
    encoded = io.BytesIO()
    dcmwrite(encoded, header, enforce_file_format=True)
    return encoded.getvalue()[: -sample.nbytes]


def _frame(
    scan: CineScan, header: bytes, place: tuple[object, int], number: int, pixels: npt.NDArray[np.uint16]
) -> bytes:
    """Fill the slots of an encoded header and append the pixels."""
    trigger_ms = place[1] * scan.cycle_ms / scan.image.n_frames
    filled = header.replace(_UID_SLOT.encode(), scan.uid("instance", *place).encode())
    filled = filled.replace(_TIME_SLOT.encode(), f"{trigger_ms:<8.2f}".encode())
    filled = filled.replace(_NUMBER_SLOT.encode(), f"{number:<6d}".encode())
    return filled + pixels.astype("<u2", copy=False).tobytes()


def _damaged(content: bytes, fault: PhantomFault, image: PhantomImageSize) -> bytes:
    """Do the damage that hits a single object; other faults leave it as it is."""
    n_bytes = 2 * image.rows * image.columns
    start = len(content) - n_bytes - len(_PIXEL_TAG) - 4
    if fault is PhantomFault.NO_PIXELS:
        return content[:start]
    if fault is PhantomFault.FORGED_LENGTH:
        return content[:start] + _PIXEL_TAG + (16 * n_bytes).to_bytes(4, "little") + content[-n_bytes:]
    if fault is PhantomFault.NO_POSITION:
        place = content.index(b"\x20\x00\x32\x00DS")
        length = int.from_bytes(content[place + 6 : place + 8], "little")
        return content[:place] + content[place + 8 + length :]
    return content


def _decimals(values: npt.NDArray[Any], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
