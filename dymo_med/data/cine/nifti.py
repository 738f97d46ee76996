"""Short-axis cine from NIfTI: one 4D file, or one 3D file each for end-diastole and end-systole."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel import imageglobals, orientations
from numpy.typing import NDArray

from dymo_med.data.cine.archive import IntakeLimits
from dymo_med.data.cine.stack import CineStack
from dymo_med.utils import SubjectError

__all__ = ["EDESPair", "read_nifti_cine", "read_nifti_pair"]

MILLISECONDS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}

PERPENDICULAR_TOLERANCE = 1e-3
"""Largest cosine of the angle between the two in-plane axes."""

SAME_AFFINE_TOLERANCE_MM = 1e-2
"""Largest difference between the affines of the two files of a pair."""

_REFUSED_LEVEL = 30
"""Header faults that nibabel would repair with a note on the error stream: wrong orientation codes, negative steps."""


@dataclass(frozen=True, kw_only=True)
class EDESPair:
    """The two files of a short-axis stack at end-diastole and at end-systole.

    Args:
        ed: NIfTI file (3D) at end-diastole.
        es: NIfTI file (3D) at end-systole.

    Example:
        >>> EDESPair(ed=Path("sax_ed.nii.gz"), es=Path("sax_es.nii.gz")).es.name
        'sax_es.nii.gz'
    """

    ed: Path
    es: Path


class _Volume:
    """One NIfTI file with checked header, turned to display orientation, pixels loaded on first use."""

    def __init__(self, path: Path, n_axes: int, where: str, limits: IntakeLimits) -> None:
        self.where = where
        self._image: Any = _load(path, where)
        self._check_size(n_axes, limits)
        self._turn = _display_orientation(self._checked_affine())
        x, y, z = self._image.shape[:3]
        turned = orientations.inv_ornt_aff(self._turn, (x, y, z))  # type: ignore[no-untyped-call]
        self.affine: NDArray[np.float64] = self._image.affine @ turned
        if self._turn[0, 0] == 1:
            x, y = y, x
        self.shape = (x, y, z)
        self._check_spacing()

    @property
    def n_phases(self) -> int:
        """Number of time points T."""
        return int(self._image.shape[3])

    @cached_property
    def _stored(self) -> NDArray[np.generic]:
        try:
            stored = self._image.dataobj.get_unscaled()
        except Exception as err:  # nibabel, gzip and the file system each raise their own types
            raise self._error(
                f"unreadable pixels ({type(err).__name__})", "the file is truncated: copy it again"
            ) from err
        turned = orientations.apply_orientation(stored, self._turn)  # type: ignore[no-untyped-call]
        return np.asarray(turned)

    def frame(self, *index: int) -> NDArray[np.float32]:
        """Give the (X, Y) frame at slice, or at slice and phase, with the file's scaling applied."""
        dataobj = self._image.dataobj
        values = np.moveaxis(self._stored, (0, 1), (-2, -1))[index].astype(np.float32)
        return np.ascontiguousarray(values * np.float32(dataobj.slope) + np.float32(dataobj.inter))

    def trigger_times_ms(self) -> NDArray[np.float64] | None:
        """Give phase times from the fourth voxel size, None if it is zero or has no unit."""
        step = float(self._image.header.get_zooms()[3])
        unit = MILLISECONDS.get(self._image.header.get_xyzt_units()[1])
        if unit is None or not 0 < step < np.inf:
            return None
        return np.arange(self.n_phases, dtype=np.float64) * (step * unit)

    def _check_size(self, n_axes: int, limits: IntakeLimits) -> None:
        shape, dtype = self._image.shape, self._image.get_data_dtype()
        if len(shape) != n_axes or min(shape) < 1:
            raise self._error(f"shape {shape} instead of {n_axes} axes", "pass a 4D cine, or 3D files as an EDESPair")
        if dtype.kind not in "iuf":
            raise self._error(f"voxels of type {dtype}", "export one real number per voxel")
        n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if max(shape[:2]) > limits.max_rows_columns or n_bytes > limits.max_total_bytes:
            raise self._error(f"shape {shape} ({n_bytes} bytes), over the limits", "raise the bound in IntakeLimits")

    def _checked_affine(self) -> NDArray[np.float64]:
        header = self._image.header
        if header["sform_code"] == 0 and header["qform_code"] == 0:
            raise self._error("neither sform nor qform", "convert from DICOM again, keeping the orientation")
        if (unit := header.get_xyzt_units()[0]) not in ("mm", "unknown"):
            raise self._error(f"voxel sizes in {unit}", "write them in mm")
        affine: NDArray[np.float64] = self._image.affine
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or lengths.min() <= 0:
            raise self._error(f"voxel sizes {lengths.tolist()} mm", "convert from DICOM again")
        return affine

    def _check_spacing(self) -> None:
        axes = self.affine[:3, :3]
        x, y, z = np.linalg.norm(axes, axis=0)
        if z < max(x, y) * (1 - PERPENDICULAR_TOLERANCE):
            raise self._error(f"spacing {x:.3g} x {y:.3g} x {z:.3g} mm", "make the slices the third axis")
        cosine = float(axes[:, 0] @ axes[:, 1] / (x * y))
        if abs(cosine) > PERPENDICULAR_TOLERANCE:
            raise self._error(f"in-plane axes at a cosine of {cosine:.4f}", "resample to perpendicular axes")

    def _error(self, problem: str, remedy: str) -> SubjectError:
        return SubjectError(problem, where=self.where, remedy=remedy)


def read_nifti_cine(path: Path, limits: IntakeLimits) -> CineStack:
    """Read a 4D short-axis cine (X, Y, Z, T).

    Args:
        path: NIfTI file, plain or gzipped.
        limits: Bounds to keep.

    Raises:
        SubjectError: the file is damaged, has no orientation, or is no 4D cine with slices along the third axis.
    """
    volume = _Volume(path, 4, "the 4D NIfTI file", limits)
    times = volume.trigger_times_ms()
    findings = () if times is not None else ("the fourth voxel size holds no frame interval: phase times are unknown",)
    return CineStack(
        shape=(*volume.shape, volume.n_phases),
        affine=volume.affine,
        trigger_time_ms=times if times is not None else np.full(volume.n_phases, np.nan),
        decode=volume.frame,
        findings=findings,
    )


def read_nifti_pair(pair: EDESPair, limits: IntakeLimits) -> CineStack:
    """Read end-diastole and end-systole as a stack of two phases, in this order.

    Args:
        pair: The two files.
        limits: Bounds to keep.

    Raises:
        SubjectError: a file is damaged or has no orientation, or the two do not share one grid.
    """
    volumes = (_Volume(pair.ed, 3, "the ED NIfTI file", limits), _Volume(pair.es, 3, "the ES NIfTI file", limits))
    ed, es = volumes
    if ed.shape != es.shape or not np.allclose(ed.affine, es.affine, rtol=0, atol=SAME_AFFINE_TOLERANCE_MM):
        difference = f"shapes {ed.shape} and {es.shape}"
        if ed.shape == es.shape:
            difference = f"affines that differ by up to {np.abs(ed.affine - es.affine).max():.3f} mm"
        raise SubjectError(difference, where="the ED and ES NIfTI files", remedy="pass two phases of one acquisition")
    return CineStack(
        shape=(*ed.shape, 2),
        affine=ed.affine,
        trigger_time_ms=np.full(2, np.nan),
        decode=lambda slice_index, phase: volumes[phase].frame(slice_index),
        known_phases=(0, 1),
    )


def _load(path: Path, where: str) -> Any:
    try:
        with imageglobals.ErrorLevel(_REFUSED_LEVEL):  # type: ignore[no-untyped-call]
            image = nib.load(path)
    except FileNotFoundError as err:
        raise SubjectError("no such file", where=where, remedy="check the path in the table of images") from err
    except Exception as err:  # nibabel raises many types on damaged headers
        raise SubjectError(
            f"unreadable header ({type(err).__name__})", where=where, remedy="the file is damaged: export it again"
        ) from err
    if not isinstance(image, nib.nifti1.Nifti1Image):
        raise SubjectError(f"a {type(image).__name__}", where=where, remedy="convert it to NIfTI with dcm2niix")
    return image


def _display_orientation(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the flips and the swap of the first two axes that show the frame as a DICOM viewer would.

    A radiological display runs from the patient's right to left (or front to back, where the plane holds no such axis)
    along X, and downwards (or front to back) along Y. The slice axis stays as it is.
    """
    stored = orientations.io_orientation(affine)  # type: ignore[no-untyped-call]
    in_plane = sorted(
        stored[:2, 0]
    )  # world axes: 0 right-left, 1 front-back, 2 up-down; -1 turns RAS to left, back, down
    wanted = np.array([[in_plane[0], -1.0], [in_plane[1], -1.0], stored[2]])
    return np.asarray(orientations.ornt_transform(stored, wanted))  # type: ignore[no-untyped-call]
