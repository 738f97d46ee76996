"""One short-axis cine acquisition: sorted geometry, pixels decoded when they are asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dymo_med.utils import SubjectError

__all__ = ["CineStack", "central_slices"]


@dataclass(frozen=True, kw_only=True)
class CineStack:
    """Slices by phases of one heart, ordered by position and time, whatever file form they came from.

    Voxel axes are X (column index of the displayed frame, left to right), Y (row index, top to bottom), Z (slice) and T
    (cardiac phase).

    Args:
        shape: Sizes (X, Y, Z, T).
        affine: (4, 4), voxel index (x, y, z) to world position in mm, RAS (DICOM itself is LPS).
        trigger_time_ms: (T,) time after the trigger (DICOM Trigger Time (0018,1060)), nan where the source gives none.
        findings: Irregularities that do not touch the slices a model sees, one line each.
        decode: ``(slice_index, phase) -> (X, Y)`` frame; called once per frame, for results are kept.
        slice_faults: Slices that cannot be used, with the error that using one raises.
        known_phases: Indices (ED, ES) where the source states them, None where they have to be found.

    Shape:
        ``frame``: (X, Y) float32; ``slice_cine``: (X, Y, T) float32.

    Example:
        >>> stack = CineStack(shape=(4, 3, 2, 5), affine=np.diag([-2.0, -2.0, 10.0, 1.0]),
        ...     trigger_time_ms=np.arange(5) * 30.0, decode=lambda k, t: np.full((4, 3), 10.0 * k + t, np.float32))
        >>> stack.slice_cine(1)[0, 0]
        array([10., 11., 12., 13., 14.], dtype=float32)
        >>> stack.spacing_mm
        (2.0, 2.0, 10.0)
    """

    shape: tuple[int, int, int, int]
    affine: NDArray[np.float64]
    trigger_time_ms: NDArray[np.float64]
    decode: Callable[[int, int], NDArray[np.float32]] = field(repr=False)
    findings: tuple[str, ...] = ()
    slice_faults: Mapping[int, SubjectError] = field(default_factory=dict)
    known_phases: tuple[int, int] | None = None
    _frames: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighboring voxels along X, Y and Z."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def frame(self, slice_index: int, phase: int) -> NDArray[np.float32]:
        """Give one frame, decoded on first use.

        Args:
            slice_index: From 0 to Z - 1.
            phase: From 0 to T - 1.

        Returns:
            (X, Y) intensities after rescaling, not to be written to.

        Raises:
            IndexError: there is no such slice or phase.
            SubjectError: the slice is faulty or its pixels cannot be decoded.
        """
        if not (0 <= slice_index < self.shape[2] and 0 <= phase < self.shape[3]):
            raise IndexError(
                f"slice and phase must lie inside (Z, T)={self.shape[2:]}, however: {slice_index}, {phase}"
            )
        if slice_index in self.slice_faults:
            raise self.slice_faults[slice_index]
        key = (slice_index, phase)
        if key not in self._frames:
            frame = self.decode(slice_index, phase)
            if not np.isfinite(frame).all():
                raise SubjectError(
                    f"{int((~np.isfinite(frame)).sum())} pixels that are not finite",
                    where=f"slice {slice_index}, phase {phase}",
                    remedy="export the images again",
                )
            frame.flags.writeable = False
            self._frames[key] = frame
        return self._frames[key]

    def slice_cine(self, slice_index: int) -> NDArray[np.float32]:
        """Give all phases of one slice as (X, Y, T)."""
        return np.stack([self.frame(slice_index, phase) for phase in range(self.shape[3])], axis=-1)


def central_slices(n_slices: int) -> range:
    """Give the slices among which the mid-ventricular one is sought: the stack without a quarter at either end.

    Stacks reach beyond base and apex. Faults of a central slice are errors, faults outside are findings.

    Args:
        n_slices: Slices of the stack, at least 1.

    Example:
        >>> list(central_slices(10))
        [2, 3, 4, 5, 6, 7]
        >>> list(central_slices(1))
        [0]
    """
    return range(n_slices // 4, n_slices - n_slices // 4)
