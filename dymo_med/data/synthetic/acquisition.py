"""Size and placement of the simulated short-axis stack."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dymo_med.utils import check_positive_int

__all__ = ["PhantomImageSize", "StackPose", "draw_pose"]

Array = npt.NDArray[np.floating[Any]]

SLICE_STEP_MM = 10.0
SLICE_THICKNESS_MM = 8.0


@dataclass(frozen=True, kw_only=True)
class PhantomImageSize:
    """How many slices, frames and pixels a simulated scan has.

    The defaults suit demonstrations; the registry's own scans are near ``n_slices=10, n_frames=50, rows=208,
    columns=174``.

    Args:
        n_slices: Short-axis slices, 10 mm apart, centred on the middle of the left ventricle.
        n_frames: Frames in one cardiac cycle.
        rows: Image rows.
        columns: Image columns.

    Raises:
        ValueError: a number is not a positive integer, or too small to show a beating heart.

    Example:
        >>> PhantomImageSize(rows=208, columns=174).pixel_spacing_mm
        1.8
        >>> PhantomImageSize().pixel_spacing_mm
        2.5
    """

    n_slices: int = 6
    n_frames: int = 20
    rows: int = 80
    columns: int = 80

    def __post_init__(self) -> None:
        for name, least in {"n_slices": 1, "n_frames": 4, "rows": 24, "columns": 24}.items():
            value = getattr(self, name)
            check_positive_int(name, value)
            if value < least:
                raise ValueError(f"{name} must be at least {least} to show a beating heart, however: {name}={value}")

    @property
    def pixel_spacing_mm(self) -> float:
        """Edge of a square pixel in mm: 1.8, or more where the image would else show less than 200 mm."""
        return max(1.8, round(200 / min(self.rows, self.columns), 4))


@dataclass(frozen=True)
class StackPose:
    """Where the stack lies in the patient (DICOM LPS coordinates, mm).

    Args:
        row_direction: (3,) unit vector along increasing column index.
        column_direction: (3,) unit vector along increasing row index.
        to_apex: (3,) unit normal of the slices, from base to apex.
        center_mm: (3,) center of the middle of the stack.

    Example:
        >>> pose = draw_pose(np.random.default_rng(0))
        >>> abs(round(float(pose.row_direction @ pose.to_apex), 6))
        0.0
    """

    row_direction: Array
    column_direction: Array
    to_apex: Array
    center_mm: Array

    def first_pixel_mm(self, index: int, image: PhantomImageSize) -> Array:
        """Give ImagePositionPatient (0020,0032) of a slice: the center of its first pixel.

        Args:
            index: Slice, counted from the base.
            image: Size of the scan.

        Returns:
            (3,) position in mm.
        """
        along = (index - (image.n_slices - 1) / 2) * SLICE_STEP_MM
        right = (image.columns - 1) / 2 * image.pixel_spacing_mm
        down = (image.rows - 1) / 2 * image.pixel_spacing_mm
        corner = self.center_mm + along * self.to_apex - right * self.row_direction - down * self.column_direction
        return np.asarray(corner)


def draw_pose(rng: np.random.Generator) -> StackPose:
    """Draw a short-axis plane: the apex points left, forward and down, turned by a few degrees per participant.

    Args:
        rng: Source of randomness.

    Returns:
        The pose; row direction, column direction and the direction to the base form a right-handed system.

    Example:
        >>> pose = draw_pose(np.random.default_rng(0))
        >>> bool(np.allclose(np.cross(pose.row_direction, pose.column_direction), -pose.to_apex))
        True
    """
    to_apex: Array = _unit(np.array([0.70, -0.53, -0.48]) + rng.normal(0, 0.06, 3))
    tilted: Array = np.array([-0.40, 0.12, -0.91]) + rng.normal(0, 0.05, 3)
    down = _unit(tilted - (tilted @ to_apex) * to_apex)
    return StackPose(np.cross(down, -to_apex), down, to_apex, np.array([35.0, -25.0, 10.0]) + rng.normal(0, 12, 3))


def _unit(vector: Array) -> Array:
    return np.asarray(vector / math.sqrt(float(vector @ vector)))
