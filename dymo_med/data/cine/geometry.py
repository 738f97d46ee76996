"""World geometry of a stack of DICOM slices."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dymo_med.data.cine.acquisition import REMEDY, CineSlice
from dymo_med.data.cine.headers import FrameHeader
from dymo_med.data.cine.stack import central_slices
from dymo_med.utils import SubjectError

__all__ = ["LPS_TO_RAS", "check_alike", "stack_affine"]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM counts towards the patient's left and posterior, NIfTI towards right and anterior; superior is shared."""

ORIENTATION_TOLERANCE = 1e-3
"""Largest difference of a direction cosine between slices of one stack (0.06 degrees)."""

SPACING_RELATIVE_TOLERANCE = 1e-3
"""Largest relative difference of pixel spacing between slices of one stack."""

SLICE_GAP_RELATIVE_TOLERANCE = 0.02
"""Largest deviation of a step between slices, as a fraction of the usual step (0.2 mm of 10 mm)."""


def check_alike(slices: Sequence[CineSlice]) -> list[CineSlice]:
    """Mark as faulty every slice whose size, pixel spacing or orientation is not that of the middle slice."""
    reference = slices[len(slices) // 2].frames[0]
    checked = []
    for index, cine_slice in enumerate(slices):
        problem = None if cine_slice.fault else _difference(cine_slice.frames[0], reference)
        if problem:
            fault = SubjectError(problem, where=f"slice {index}", remedy=REMEDY)
            cine_slice = replace(cine_slice, fault=fault)
        checked.append(cine_slice)
    return checked


def stack_affine(slices: Sequence[CineSlice]) -> tuple[NDArray[np.float64], list[str]]:
    """Build the affine from Image Position (0020,0032), Orientation (0020,0037) and Pixel Spacing (0028,0030).

    The step between slices is measured on the central slices, and they alone must be evenly spaced along one line; an
    uneven step from or between outer slices is a finding.

    Args:
        slices: Slices in the order of position.

    Returns:
        (4, 4) voxel index (x, y, z) to mm, RAS; and one line for each uneven step outside the center.

    Raises:
        SubjectError: a step between central slices is uneven, or a single slice has no thickness.
    """
    first = slices[len(slices) // 2].frames[0]
    positions = np.array([cine_slice.frames[0].image_position for cine_slice in slices])
    central = central_slices(len(slices))
    findings = []
    if len(slices) == 1:
        step = _single_step(first)
    else:
        steps = np.diff(positions, axis=0)
        step = np.median(steps[central.start : central.stop - 1], axis=0)
        tolerance = SLICE_GAP_RELATIVE_TOLERANCE * np.linalg.norm(step)
        for index in np.flatnonzero(np.linalg.norm(steps - step, axis=1) > tolerance):
            text = f"a step of {np.linalg.norm(steps[index]):.2f} mm where {np.linalg.norm(step):.2f} mm are usual"
            if index in central and index + 1 in central:
                raise SubjectError(text, where=f"the gap between slices {index} and {index + 1}", remedy=REMEDY)
            findings.append(f"{text} between slices {index} and {index + 1}, outside the slices in use")
        step = (positions[central[-1]] - positions[central[0]]) / (len(central) - 1)
    affine_lps = np.eye(4)
    affine_lps[:3, 0] = np.array(first.image_orientation[:3]) * first.pixel_spacing[1]  # next column: along a row
    affine_lps[:3, 1] = np.array(first.image_orientation[3:]) * first.pixel_spacing[0]  # next row: down a column
    affine_lps[:3, 2] = step
    affine_lps[:3, 3] = positions[central[0]] - central[0] * step
    return LPS_TO_RAS @ affine_lps, findings


def _difference(frame: FrameHeader, reference: FrameHeader) -> str | None:
    if (frame.rows, frame.columns) != (reference.rows, reference.columns):
        return f"{frame.rows} x {frame.columns} pixels where the stack has {reference.rows} x {reference.columns}"
    if not np.allclose(frame.pixel_spacing, reference.pixel_spacing, rtol=SPACING_RELATIVE_TOLERANCE, atol=0):
        return f"pixel spacing {frame.pixel_spacing} mm where the stack has {reference.pixel_spacing} mm"
    turned = np.abs(np.subtract(frame.image_orientation, reference.image_orientation)).max()
    if turned > ORIENTATION_TOLERANCE:
        return f"an orientation whose cosines differ from the stack's by {turned:.4f}"
    return None


def _single_step(frame: FrameHeader) -> NDArray[np.float64]:
    if frame.slice_distance_mm is None:
        raise SubjectError(
            "neither Spacing Between Slices (0018,0088) nor Slice Thickness (0018,0050)",
            where="the only slice",
            remedy="export the series again",
        )
    normal = np.cross(frame.image_orientation[:3], frame.image_orientation[3:])
    return normal * frame.slice_distance_mm
