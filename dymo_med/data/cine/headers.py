"""Headers of DICOM cine frames, checked before a single pixel is decoded."""

import math
import re
from dataclasses import dataclass

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

from dymo_med.data.cine import elements as el
from dymo_med.data.cine.archive import IntakeLimits, shown
from dymo_med.data.cine.elements import NEEDED_TAGS, Elements
from dymo_med.data.cine.walk import UNDEFINED_LENGTH, read_elements
from dymo_med.utils import SubjectError

__all__ = ["FrameHeader", "OtherSeries", "read_header"]

CINE_SERIES = re.compile(r"CINE_segmented_SAX(_b\d+)?")
"""Short-axis cine series of UK Biobank field 20209; matched whole, for derived series share the beginning."""

_PREAMBLE_BYTES = 128
_META_TAGS = frozenset((el.TRANSFER_SYNTAX_UID,))
_AFTER_META = 0x0003_0000
_PIXELS = 0x7FE0_0008
"""Float, Double and Pixel Data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameHeader:
    """What the header of one cine frame says, in the standard's own terms, checked for sanity.

    Args:
        member: Name of the file inside the archive.
        series_description: (0008,103E).
        patient_id: (0010,0020), empty if absent; never told to anybody.
        series_instance_uid: (0020,000E).
        acquired_at: Date (YYYYMMDD, may be empty) and time (HHMMSS.f as a number) of acquisition, else of the series;
            None without a time.
        image_position: (0020,0032), center of the first pixel in mm, LPS.
        image_orientation: (0020,0037), direction cosines of a row, then of a column, LPS.
        pixel_spacing: (0028,0030) in mm, between rows first, between columns second.
        slice_distance_mm: (0018,0088), else (0018,0050); None without both.
        trigger_time_ms: (0018,1060).
        n_phases: (0018,1090), None if absent.
        rows: (0028,0010).
        columns: (0028,0011).
        bits_allocated: (0028,0100), 8 or 16.
        is_signed: (0028,0103) is 1.
        rescale_slope: (0028,1053), 1 if absent.
        rescale_intercept: (0028,1052), 0 if absent.
        pixel_offset: Where the uncompressed pixels start in the file, None for compressed pixels.
        transfer_syntax_uid: (0002,0010).
    """

    member: str
    series_description: str
    patient_id: str
    series_instance_uid: str
    acquired_at: tuple[str, float] | None
    image_position: tuple[float, ...]
    image_orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    slice_distance_mm: float | None
    trigger_time_ms: float
    n_phases: int | None
    rows: int
    columns: int
    bits_allocated: int
    is_signed: bool
    rescale_slope: float
    rescale_intercept: float
    pixel_offset: int | None
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class OtherSeries:
    """A DICOM file that is no original short-axis cine frame.

    Args:
        description: Series description (0008,103E), with a note if it is a derived image.
    """

    description: str


def read_header(head: bytes, member: str, n_bytes: int, limits: IntakeLimits) -> FrameHeader | OtherSeries:
    """Read one DICOM file up to its pixels.

    Only what geometry, timing and decoding need is kept; names, dates of birth and the like are never looked at.

    Args:
        head: The file, or its first part up to and including the element header of its pixels.
        member: Its name, for messages.
        n_bytes: Its whole size.
        limits: Bounds to keep.

    Returns:
        The checked header, or a note on the series the file belongs to.

    Raises:
        SubjectError: the file is damaged, or a cine frame lacks something or holds nonsense.
    """
    where = f"archive member {shown(member)}"
    if head[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] != b"DICM":
        problem = f"no DICM after the preamble, so that the {n_bytes} bytes are no DICOM file,"
        raise SubjectError(problem, where=where, remedy="download the zip again")
    meta, offset = read_elements(
        head, _PREAMBLE_BYTES + 4, is_implicit=False, needed=_META_TAGS, stop_at=_AFTER_META, where=where
    )
    syntax = _transfer_syntax(Elements(meta, where))
    is_implicit = syntax == ImplicitVRLittleEndian
    values, offset = read_elements(
        head, offset, is_implicit=is_implicit, needed=NEEDED_TAGS, stop_at=_PIXELS, where=where
    )
    elements = Elements(values, where)
    pixel_element = head[offset : offset + (8 if is_implicit else 12)]
    description = elements.text(el.SERIES_DESCRIPTION)
    if not CINE_SERIES.fullmatch(description):
        return OtherSeries(description)
    if "DERIVED" in elements.text(el.IMAGE_TYPE).split("\\"):
        return OtherSeries(f"{description} (derived images)")
    _check_kind(elements)
    rows, columns = (_side(elements, tag, limits) for tag in (el.ROWS, el.COLUMNS))
    bits = elements.one_of(el.BITS_ALLOCATED, (8, 16))
    native = syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    length = _pixel_length(pixel_element, is_implicit, where)
    _check_pixel_length(
        length, rows * columns * bits // 8 if native else None, n_bytes - offset - len(pixel_element), where
    )
    return FrameHeader(
        member=member,
        series_description=description,
        patient_id=elements.text(el.PATIENT_ID),
        series_instance_uid=elements.required_text(el.SERIES_INSTANCE_UID),
        acquired_at=_acquired_at(elements),
        image_position=elements.numbers(el.IMAGE_POSITION, 3),
        image_orientation=_orientation(elements),
        pixel_spacing=tuple(_positive(elements, el.PIXEL_SPACING, n_values=2)),
        slice_distance_mm=_slice_distance(elements),
        trigger_time_ms=elements.numbers(el.TRIGGER_TIME, 1)[0],
        n_phases=max(int(elements.number_or(el.CARDIAC_NUMBER_OF_IMAGES, 0)), 0) or None,
        rows=rows,
        columns=columns,
        bits_allocated=bits,
        is_signed=elements.one_of(el.PIXEL_REPRESENTATION, (0, 1)) == 1,
        rescale_slope=_nonzero(elements, el.RESCALE_SLOPE),
        rescale_intercept=elements.number_or(el.RESCALE_INTERCEPT, 0.0),
        pixel_offset=offset + len(pixel_element) if native else None,
        transfer_syntax_uid=syntax,
    )


def _transfer_syntax(meta: Elements) -> str:
    """Refuse syntaxes that pydicom would inflate without a bound, or that no MR scanner has written for decades."""
    syntax = meta.text(el.TRANSFER_SYNTAX_UID)
    if syntax in ("", DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
        raise meta.unsupported(el.TRANSFER_SYNTAX_UID, f"transfer syntax {syntax or 'absent'}")
    return syntax


def _check_kind(elements: Elements) -> None:
    for tag, expected in ((el.DICOM_MODALITY, "MR"), (el.SOP_CLASS_UID, MRImageStorage)):
        if (found := elements.text(tag)) != expected:
            raise elements.unsupported(tag, f"{shown(found)} instead of {expected}")
    if (found := elements.text(el.PHOTOMETRIC_INTERPRETATION)) != "MONOCHROME2":
        raise elements.unsupported(el.PHOTOMETRIC_INTERPRETATION, f"{shown(found)} instead of MONOCHROME2")
    elements.one_of(el.SAMPLES_PER_PIXEL, (1,))
    if (n_frames := elements.number_or(el.NUMBER_OF_FRAMES, 1)) != 1:
        raise elements.unsupported(el.NUMBER_OF_FRAMES, f"{n_frames:g} frames in one file")


def _side(elements: Elements, tag: int, limits: IntakeLimits) -> int:
    value = elements.integer(tag)
    if not 0 < value <= limits.max_rows_columns:
        raise elements.error(tag, f"{value} pixels, outside 1 to {limits.max_rows_columns}")
    return value


def _positive(elements: Elements, tag: int, n_values: int) -> tuple[float, ...]:
    values = elements.numbers(tag, n_values)
    if min(values) <= 0:
        raise elements.error(tag, f"{values} mm where lengths above zero belong")
    return values


def _nonzero(elements: Elements, tag: int) -> float:
    value = elements.number_or(tag, 1.0)
    if value == 0:
        raise elements.error(tag, "a slope of 0, which erases the image,")
    return value


def _slice_distance(elements: Elements) -> float | None:
    for tag in (el.SPACING_BETWEEN_SLICES, el.SLICE_THICKNESS):
        if elements.text(tag):
            return _positive(elements, tag, n_values=1)[0]
    return None


def _orientation(elements: Elements) -> tuple[float, ...]:
    values = elements.numbers(el.IMAGE_ORIENTATION, 6)
    row, column = values[:3], values[3:]
    lengths = [math.hypot(*row), math.hypot(*column)]
    cosine = sum(r * c for r, c in zip(row, column, strict=True))
    if max(abs(length - 1) for length in lengths) > 1e-3 or abs(cosine) > 1e-3:
        raise elements.error(el.IMAGE_ORIENTATION, f"{values}, which are no two perpendicular unit vectors,")
    return values


def _acquired_at(elements: Elements) -> tuple[str, float] | None:
    for date, time in ((el.ACQUISITION_DATE, el.ACQUISITION_TIME), (el.SERIES_DATE, el.SERIES_TIME)):
        if elements.text(time):
            return elements.text(date), elements.numbers(time, 1)[0]
    return None


def _pixel_length(element: bytes, is_implicit: bool, where: str) -> int:
    if int.from_bytes(element[0:2], "little") != 0x7FE0 or int.from_bytes(element[2:4], "little") != 0x0010:
        raise SubjectError("no pixels", where=f"tag (7FE0,0010) of {where}", remedy="export the series again")
    return int.from_bytes(element[4:8] if is_implicit else element[8:12], "little")


def _check_pixel_length(length: int, expected: int | None, n_bytes_left: int, where: str) -> None:
    """Compare the announced length with what rows, columns and bits ask for and with what the file holds."""
    fits = length == UNDEFINED_LENGTH if expected is None else length in (expected, expected + expected % 2)
    if not fits:
        asked = "an undefined length (compressed pixels)" if expected is None else f"{expected}"
        raise SubjectError(
            f"{length} bytes of pixels announced instead of {asked}",
            where=f"tag (7FE0,0010) of {where}",
            remedy="the file is damaged or forged: export the series again",
        )
    if expected is not None and length > n_bytes_left:
        raise SubjectError(
            f"{length} bytes of pixels announced, {n_bytes_left} left",
            where=f"tag (7FE0,0010) of {where}",
            remedy="the file is truncated: download the zip again",
        )
