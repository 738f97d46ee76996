"""Short-axis cine from a zip archive of DICOM files, as UK Biobank field 20209 is delivered."""

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipInfo

import numpy as np
from numpy.typing import NDArray

from dymo_med.data.cine.acquisition import CineSlice, sort_into_slices
from dymo_med.data.cine.archive import IntakeLimits, MemberArchive, member_errors, shown
from dymo_med.data.cine.geometry import check_alike, stack_affine
from dymo_med.data.cine.headers import FrameHeader, OtherSeries, read_header
from dymo_med.data.cine.pixels import decode_frame
from dymo_med.data.cine.stack import CineStack, central_slices
from dymo_med.utils import SubjectError

__all__ = ["agrees_with_name", "read_dicom_zip"]

FIRST_HEAD_BYTES = 1 << 16
"""How much of the first file is inflated to find its pixels; scanners write headers of 2 to 60 kB."""

HEAD_MARGIN_BYTES = 1 << 10
"""How much longer than the header before it a header may be without a second look."""

REGISTRY_ZIP = re.compile(r"(\d{7})_20209_\d_\d\.zip")
REGISTRY_ID = re.compile(r"\d{7}")


def read_dicom_zip(path: Path, limits: IntakeLimits, *, match_patient: bool = True) -> CineStack:
    """Read the headers of every file in the archive, sort them, and leave the pixels for later.

    Headers are the truth: the manifest, file names and instance numbers are not used. A damaged file costs the subject
    wherever it lies. An incomplete or deviating slice does so if it is one of the central slices; further out it is a
    finding, for no frame of it will be used.

    Args:
        path: Zip archive.
        limits: Bounds to keep.
        match_patient: Refuse files whose Patient ID is another participant than the archive's name says.

    Raises:
        SubjectError: the archive or a file in it is damaged or breaks a limit, there is no short-axis cine in it, or
            that of another subject, or a central slice is unusable.
    """
    archive = MemberArchive(path, limits)
    headers, findings = _read_headers(archive, limits)
    _check_patient({header.patient_id for header in headers} - {""}, path if match_patient else None)
    slices, repeats = sort_into_slices(list(headers))
    slices = check_alike(slices)
    faults = {index: cine_slice.fault for index, cine_slice in enumerate(slices) if cine_slice.fault is not None}
    for index in central_slices(len(slices)):
        if index in faults:
            raise faults[index]
    affine, gaps = stack_affine(slices)
    findings += (
        repeats + gaps + [f"{fault.problem} in {fault.where}, outside the slices in use" for fault in faults.values()]
    )
    middle = slices[len(slices) // 2].frames
    announced = middle[0].n_phases
    if announced is not None and announced < len(middle):
        findings.append(f"{len(middle)} phases where Cardiac Number of Images (0018,1090) announces {announced}")

    def decode(slice_index: int, phase: int) -> NDArray[np.float32]:
        """Read one frame (X, Y) when it is needed."""
        header = slices[slice_index].frames[phase]
        with member_errors(header.member), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode_frame(archive.read(headers[header]), header)

    return CineStack(
        shape=(middle[0].columns, middle[0].rows, len(slices), len(middle)),
        affine=affine,
        trigger_time_ms=_trigger_times(slices, faults),
        decode=decode,
        findings=tuple(findings),
        slice_faults=faults,
    )


def agrees_with_name(path: Path, limits: IntakeLimits) -> bool | None:
    """Tell whether the first cine frame of an archive is of the participant of the archive's name.

    Args:
        path: Zip archive.
        limits: Bounds to keep.

    Returns:
        None if the file cannot be read, or either of the two is no registry id.
    """
    named = REGISTRY_ZIP.fullmatch(path.name)
    if named is None:
        return None
    try:
        archive = MemberArchive(path, limits)
        for info in archive.members:
            if info.filename.lower().endswith(".dcm"):
                header = _read_header(archive, info, FIRST_HEAD_BYTES, limits)
                if isinstance(header, FrameHeader):
                    return header.patient_id == named[1] if REGISTRY_ID.fullmatch(header.patient_id) else None
    except SubjectError:
        return None  # told when this subject is read
    return None


def _check_patient(found: set[str], path: Path | None) -> None:
    """Refuse files of several patients, and those of one whom the archive's name does not name."""
    place = {
        "where": "Patient ID (0010,0020) of the cine zip",
        "remedy": "the wrong subject is inside: download it again",
    }
    if len(found) > 1:
        raise SubjectError(f"{len(found)} different patients", **place)
    named = REGISTRY_ZIP.fullmatch(path.name) if path else None
    if named and any(REGISTRY_ID.fullmatch(patient) and patient != named[1] for patient in found):
        raise SubjectError("a participant other than the one in the file name", **place)


def _read_headers(archive: MemberArchive, limits: IntakeLimits) -> tuple[dict[FrameHeader, ZipInfo], list[str]]:
    headers: dict[FrameHeader, ZipInfo] = {}
    left_out: Counter[str] = Counter()
    n_head = FIRST_HEAD_BYTES
    with warnings.catch_warnings():  # pydicom warns of values that the checks here judge by themselves
        warnings.simplefilter("ignore")
        for info in archive.members:
            name = info.filename.rpartition("/")[2].lower()
            if name.partition(".")[0] == "manifest":
                continue
            if not name.endswith(".dcm"):
                left_out[f"other files such as {shown(info.filename)}"] += 1
                continue
            header = _read_header(archive, info, n_head, limits)
            if isinstance(header, OtherSeries):
                left_out[f"series {shown(header.description)}"] += 1
            else:
                headers[header] = info
                n_head = (header.pixel_offset or 0) + HEAD_MARGIN_BYTES  # headers of one download are of like length
    findings = [f"left out {count} file(s) of {what}" for what, count in sorted(left_out.items())]
    if not headers:
        raise SubjectError(
            f"no original series named CINE_segmented_SAX ({'; '.join(findings) or 'no DICOM file at all'})",
            where="the cine zip",
            remedy="pass the short-axis zip (field 20209)",
        )
    return headers, findings


def _read_header(archive: MemberArchive, info: ZipInfo, n_head: int, limits: IntakeLimits) -> FrameHeader | OtherSeries:
    """Read a header from the head of the file, and from the whole of it if the head does not do."""
    with member_errors(info.filename):
        if n_head < info.file_size:
            try:
                return read_header(archive.read_head(info, n_head), info.filename, info.file_size, limits)
            except SubjectError:
                pass  # the head may end inside the header: the whole file decides
        return read_header(archive.read(info), info.filename, info.file_size, limits)


def _trigger_times(slices: Sequence[CineSlice], faults: dict[int, SubjectError]) -> NDArray[np.float64]:
    """Give the median over sound slices, which were acquired in different heart beats."""
    sound = [cine_slice.frames for index, cine_slice in enumerate(slices) if index not in faults]
    return np.median([[frame.trigger_time_ms for frame in frames] for frames in sound], axis=0)
