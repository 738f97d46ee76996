"""End-systolic, mid and end-diastolic frames of the mid-ventricular slice, found in the images themselves."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dymo_med.data.cine.stack import CineStack, central_slices
from dymo_med.utils import SubjectError

__all__ = ["CHANNELS", "CineFrames", "find_phases", "select_frames"]

CHANNELS = ("es", "mid", "ed")
"""Order of the image channels, as the published networks were trained."""

MIN_PHASES = 6
"""Fewer phases leave contraction and filling with two frames each: too coarse to tell them apart."""

COARSE_PIXEL_MM = 3.5
"""Pixels are averaged to about this size before motion is measured: less noise, walls (8 mm) still apart."""

SLICE_SEARCH_PHASES = 10
"""Phases that are decoded of every candidate slice to compare their motion."""

CENTER_PRIOR_MM = 60.0
"""Standard deviation of the weight that prefers motion near the image center, where the heart is planned to lie."""

MOTION_THRESHOLD = 0.4
"""Fraction of the strongest motion from which a pixel belongs to the moving heart."""

CURVE_SMOOTHING = 0.02
"""Standard deviation of the smoothing of the blood-pool curve, as a fraction of the cardiac cycle."""

FULL_CONTRAST = 0.25
"""Relative shrinkage of the blood pool from which the contrast of the curve no longer limits confidence."""

LOW_CONFIDENCE = 0.5
"""Below this a finding asks for a look at the images."""


@dataclass(frozen=True, kw_only=True)
class CineFrames:
    """Three frames of one slice, and how they were found.

    Args:
        values: (3, X, Y) intensities, channels in the order of ``CHANNELS``.
        affine: (4, 4), voxel index of the stack (x, y, z) to mm, RAS.
        spacing_mm: Voxel size along X, Y and Z.
        slice_index: Slice of the stack the frames are of.
        phase_indices: Phase of each channel; None for a ``mid`` that was computed.
        method: How slice and phases were found.
        confidence: 0 to 1; 1 where the source states the phases.
        findings: Irregularities of the source and of the search, one line each.

    Example:
        >>> frames = CineFrames(values=np.zeros((3, 8, 6), np.float32), affine=np.eye(4), spacing_mm=(1.0, 1.0, 1.0),
        ...     slice_index=4, phase_indices={"es": 18, "mid": 9, "ed": 0}, method="",
        ...     confidence=1.0, findings=())
        >>> dict(zip(CHANNELS, frames.values, strict=True))["ed"].shape
        (8, 6)
    """

    values: NDArray[np.float32]
    affine: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]
    slice_index: int
    phase_indices: Mapping[str, int | None]
    method: str
    confidence: float
    findings: tuple[str, ...]


def select_frames(stack: CineStack) -> CineFrames:
    """Find the mid-ventricular slice and its frames at end-diastole, mid-contraction and end-systole.

    The slice is the center of motion energy of the central slices. The heart is the connected region of strong motion
    near the image center; the bright area in it, phase by phase, is the curve of the blood pool: end-diastole is the
    maximum of that curve, end-systole its minimum, and mid lies halfway in time from the one to the other, across the
    end of the cine if need be. No phase is assumed to come first. Where the source states the phases (a pair of files),
    these are used and ``mid`` is their mean, voxel by voxel.

    Args:
        stack: Acquisition to choose from; only central slices are decoded.

    Raises:
        SubjectError: too few phases, nothing moves, or a needed frame cannot be decoded.

    Example:
        >>> x, y = np.mgrid[:40, :40] - 20
        >>> def beating_disk(k, t):
        ...     return 100 * (np.hypot(x, y) < 8 + 3 * np.cos(2 * np.pi * (t - 3) / 12)).astype(np.float32)
        >>> stack = CineStack(shape=(40, 40, 3, 12), affine=np.diag([-2.0, -2.0, 10.0, 1.0]),
        ...     trigger_time_ms=np.arange(12) * 70.0, decode=beating_disk)
        >>> frames = select_frames(stack)
        >>> frames.phase_indices["ed"], frames.phase_indices["mid"], frames.phase_indices["es"], frames.slice_index
        (3, 6, 9, 1)
    """
    if stack.known_phases is not None:
        return _given_frames(stack, stack.known_phases, _mid_ventricular_slice(stack))
    _check_phases(stack)
    slice_index = _mid_ventricular_slice(stack)
    n_phases = stack.shape[3]
    ed, es, confidence = find_phases(stack, slice_index)
    mid = (ed + ((es - ed) % n_phases) // 2) % n_phases
    findings = list(stack.findings)
    if confidence < LOW_CONFIDENCE:
        findings.append(f"end-diastole and end-systole are uncertain (confidence {confidence:.2f}): look at the frames")
    values = np.stack([stack.frame(slice_index, phase) for phase in (es, mid, ed)])
    return CineFrames(
        values=values,
        affine=stack.affine,
        spacing_mm=stack.spacing_mm,
        slice_index=slice_index,
        phase_indices={"es": es, "mid": mid, "ed": ed},
        method="slice by motion energy, phases by blood-pool area",
        confidence=confidence,
        findings=tuple(findings),
    )


def find_phases(stack: CineStack, slice_index: int) -> tuple[int, int, float]:
    """Find end-diastole and end-systole in one slice: the largest and the smallest blood pool.

    Args:
        stack: Acquisition.
        slice_index: Slice to look at, all phases of which are decoded.

    Returns:
        Phase of end-diastole, phase of end-systole, confidence from 0 to 1.

    Raises:
        SubjectError: too few phases, or a frame cannot be decoded.
    """
    _check_phases(stack)
    curve = _curve_of(stack, slice_index)
    smooth = ndimage.gaussian_filter1d(curve, CURVE_SMOOTHING * stack.shape[3], mode="wrap")
    return int(smooth.argmax()), int(smooth.argmin()), _confidence(curve, smooth)


def _check_phases(stack: CineStack) -> None:
    if stack.shape[3] < MIN_PHASES:
        raise SubjectError(
            f"{stack.shape[3]} phases, fewer than {MIN_PHASES}",
            where="the cine",
            remedy="pass the whole cine, or ED and ES as a pair of files",
        )


def _curve_of(stack: CineStack, slice_index: int) -> NDArray[np.float64]:
    return _blood_pool_curve(_coarse(stack, slice_index, range(stack.shape[3])), _coarse_spacing(stack))


def _given_frames(stack: CineStack, phases: tuple[int, int], slice_index: int) -> CineFrames:
    ed, es = phases
    curve = _curve_of(stack, slice_index)
    ed_frame, es_frame = stack.frame(slice_index, ed), stack.frame(slice_index, es)
    findings = [*stack.findings, "mid is the voxelwise mean of end-diastole and end-systole, for no cine was given"]
    if curve[ed] <= curve[es]:
        findings.append("the blood pool is no larger at end-diastole than at end-systole: are the two files swapped?")
    return CineFrames(
        values=np.stack([es_frame, (ed_frame + es_frame) / 2, ed_frame]),
        affine=stack.affine,
        spacing_mm=stack.spacing_mm,
        slice_index=slice_index,
        phase_indices={"es": es, "mid": None, "ed": ed},
        method="slice by motion energy, phases as given",
        confidence=1.0,
        findings=tuple(findings),
    )


def _mid_ventricular_slice(stack: CineStack) -> int:
    """Give the center of motion energy over the central slices."""
    n_phases = stack.shape[3]
    phases = range(0, n_phases, max(1, n_phases // SLICE_SEARCH_PHASES))
    spacing = _coarse_spacing(stack)
    candidates = np.array(central_slices(stack.shape[2]))
    energy = np.array([np.square(_motion(_coarse(stack, k, phases), spacing)).sum() for k in candidates])
    if not energy.sum() > 0:
        raise SubjectError(
            f"no motion between {len(phases)} phases",
            where="the central slices",
            remedy="pass a cine, not still images",
        )
    return int(np.rint(candidates @ energy / energy.sum()))


def _blood_pool_curve(coarse: NDArray[np.float32], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Give the blood fraction of the moving heart per phase, (X, Y, T) -> (T,)."""
    heart = _heart_region(_motion(coarse, spacing))
    values = coarse[heart]  # (pixels, T)
    dark, bright = np.percentile(values, (10, 90))
    blood = np.clip((values - dark) / max(bright - dark, np.finfo(np.float32).tiny), 0, 1)
    return blood.mean(axis=0, dtype=np.float64)  # type: ignore[no-any-return]


def _heart_region(motion: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Give the filled component of strong motion around its strongest pixel."""
    labels, _ = ndimage.label(motion >= MOTION_THRESHOLD * motion.max())
    strongest = labels[np.unravel_index(motion.argmax(), motion.shape)]
    return ndimage.binary_fill_holes(ndimage.binary_dilation(labels == strongest))  # type: ignore[no-any-return]


def _motion(coarse: NDArray[np.float32], spacing: tuple[float, float]) -> NDArray[np.float64]:
    """Give the temporal standard deviation, smoothed over one coarse pixel and weighted towards the image center."""
    deviation = ndimage.gaussian_filter(coarse.std(axis=-1, dtype=np.float64), 1.0)
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(deviation.shape, spacing, strict=True)]
    distance = np.hypot(axes[0][:, None], axes[1][None, :])
    return deviation * np.exp(-0.5 * np.square(distance / CENTER_PRIOR_MM))  # type: ignore[no-any-return]


def _coarse(stack: CineStack, slice_index: int, phases: range) -> NDArray[np.float32]:
    """Average pixels in blocks, phase by phase; a rest at the border is cut off."""
    bx, by = _block(stack)
    nx, ny = stack.shape[0] // bx, stack.shape[1] // by
    frames = (stack.frame(slice_index, phase)[: nx * bx, : ny * by] for phase in phases)
    corners = [(x, y) for x in range(bx) for y in range(by)]  # adding shifted views is faster than reducing short axes
    sums = [functools.reduce(np.add, (frame[x::bx, y::by] for x, y in corners)) for frame in frames]
    return np.stack(sums, axis=-1) / np.float32(len(corners))


def _block(stack: CineStack) -> tuple[int, int]:
    x, y = (max(1, round(COARSE_PIXEL_MM / spacing)) for spacing in stack.spacing_mm[:2])
    return min(x, stack.shape[0]), min(y, stack.shape[1])


def _coarse_spacing(stack: CineStack) -> tuple[float, float]:
    (bx, by), (sx, sy, _) = _block(stack), stack.spacing_mm
    return bx * sx, by * sy


def _confidence(curve: NDArray[np.float64], smooth: NDArray[np.float64]) -> float:
    """Rate a curve by its shrinkage and by how far it stands out of what smoothing took away."""
    depth = float(np.ptp(smooth))
    contrast = depth / max(float(smooth.max()), np.finfo(float).tiny)
    clarity = depth / (depth + 4 * float((curve - smooth).std()))
    return float(min(contrast / FULL_CONTRAST, 1.0) * clarity)
