"""DICOM elements that a cine frame needs, read in their stored form."""

import math
from collections.abc import Mapping
from functools import lru_cache

from pydicom.tag import Tag

from dymo_med.data.cine.archive import shown
from dymo_med.utils import SubjectError

__all__ = ["NEEDED_TAGS", "Elements"]

TRANSFER_SYNTAX_UID = 0x0002_0010
IMAGE_TYPE = 0x0008_0008
SOP_CLASS_UID = 0x0008_0016
SERIES_DATE = 0x0008_0021
ACQUISITION_DATE = 0x0008_0022
SERIES_TIME = 0x0008_0031
ACQUISITION_TIME = 0x0008_0032
DICOM_MODALITY = 0x0008_0060
SERIES_DESCRIPTION = 0x0008_103E
PATIENT_ID = 0x0010_0020
SLICE_THICKNESS = 0x0018_0050
SPACING_BETWEEN_SLICES = 0x0018_0088
TRIGGER_TIME = 0x0018_1060
CARDIAC_NUMBER_OF_IMAGES = 0x0018_1090
SERIES_INSTANCE_UID = 0x0020_000E
IMAGE_POSITION = 0x0020_0032
IMAGE_ORIENTATION = 0x0020_0037
SAMPLES_PER_PIXEL = 0x0028_0002
PHOTOMETRIC_INTERPRETATION = 0x0028_0004
NUMBER_OF_FRAMES = 0x0028_0008
ROWS = 0x0028_0010
COLUMNS = 0x0028_0011
PIXEL_SPACING = 0x0028_0030
BITS_ALLOCATED = 0x0028_0100
PIXEL_REPRESENTATION = 0x0028_0103
RESCALE_INTERCEPT = 0x0028_1052
RESCALE_SLOPE = 0x0028_1053

NEEDED_TAGS = frozenset(
    (
        IMAGE_TYPE,
        SOP_CLASS_UID,
        SERIES_DATE,
        ACQUISITION_DATE,
        SERIES_TIME,
        ACQUISITION_TIME,
        DICOM_MODALITY,
        SERIES_DESCRIPTION,
        PATIENT_ID,
        SLICE_THICKNESS,
        SPACING_BETWEEN_SLICES,
        TRIGGER_TIME,
        CARDIAC_NUMBER_OF_IMAGES,
        SERIES_INSTANCE_UID,
        IMAGE_POSITION,
        IMAGE_ORIENTATION,
        SAMPLES_PER_PIXEL,
        PHOTOMETRIC_INTERPRETATION,
        NUMBER_OF_FRAMES,
        ROWS,
        COLUMNS,
        PIXEL_SPACING,
        BITS_ALLOCATED,
        PIXEL_REPRESENTATION,
        RESCALE_INTERCEPT,
        RESCALE_SLOPE,
    )
)
"""Everything else in a header is skipped, names and dates of birth among it."""


class Elements:
    r"""Values of one header in their stored form: conversion to pydicom's types would double the time per file.

    Args:
        values: Tag number to stored bytes.
        where: The file, for messages.

    Example:
        >>> elements = Elements({PIXEL_SPACING: rb"1.8\1.9 "}, "a file")
        >>> elements.numbers(PIXEL_SPACING, 2)
        (1.8, 1.9)
    """

    def __init__(self, values: Mapping[int, bytes], where: str) -> None:
        self._values = values
        self.where = where

    def raw(self, tag: int) -> bytes:
        """Give the stored bytes, empty if the element is absent or empty."""
        return self._values.get(tag, b"")

    def text(self, tag: int) -> str:
        """Give text without padding, empty if absent."""
        return _text(self.raw(tag))

    def required_text(self, tag: int) -> str:
        """Give text, refuse an absent or empty element."""
        if not (text := self.text(tag)):
            raise self.error(tag, "no value")
        return text

    def numbers(self, tag: int, n_values: int) -> tuple[float, ...]:
        """Give exactly ``n_values`` finite numbers."""
        text = self.required_text(tag)
        values = _numbers(text)
        if values is None:
            raise self.error(tag, f"{shown(text)} where numbers belong")
        if len(values) != n_values or not all(map(math.isfinite, values)):
            raise self.error(tag, f"{shown(text)} instead of {n_values} finite number(s)")
        return values

    def number_or(self, tag: int, default: float) -> float:
        """Give one finite number, or the default if the element is absent."""
        return self.numbers(tag, 1)[0] if self.text(tag) else default

    def integer(self, tag: int) -> int:
        """Give one unsigned 16-bit integer (US)."""
        value = self.raw(tag)
        if len(value) != 2:
            raise self.error(tag, f"{len(value)} bytes instead of one 16-bit integer")
        return int.from_bytes(value, "little")

    def one_of(self, tag: int, allowed: tuple[int, ...]) -> int:
        """Give an integer that must be one of those allowed."""
        value = self.integer(tag)
        if value not in allowed:
            raise self.unsupported(tag, f"value {value} instead of one of {allowed}")
        return value

    def error(self, tag: int, problem: str) -> SubjectError:
        """Make the error for a value that is absent or nonsense."""
        return SubjectError(problem, where=f"tag {Tag(tag)} of {self.where}", remedy="export the series again")

    def unsupported(self, tag: int, problem: str) -> SubjectError:
        """Make the error for a kind of image that is not read."""
        return SubjectError(
            problem,
            where=f"tag {Tag(tag)} of {self.where}",
            remedy="export as single-frame MR images, little endian, not deflated",
        )


@lru_cache(maxsize=1024)
def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")


@lru_cache(maxsize=1024)
def _numbers(text: str) -> tuple[float, ...] | None:
    """Read numbers, None if they are none; the frames of a slice share most of their texts."""
    try:
        return tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
