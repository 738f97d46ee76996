"""Frames of a short-axis stack sorted into slices by position and into phases by trigger time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dymo_med.data.cine.archive import shown
from dymo_med.data.cine.headers import FrameHeader
from dymo_med.utils import SubjectError

__all__ = ["REMEDY", "CineSlice", "sort_into_slices"]

SAME_SLICE_TOLERANCE_MM = 0.5
"""Frames whose positions along the slice normal differ by less belong to one slice; real gaps are 5 mm and more."""

TRIGGER_GAP_FACTOR = 1.5
"""A step between phases longer than this many median steps means that a phase is missing in between."""

REMEDY = "download the zip again or take another visit"


@dataclass(frozen=True, kw_only=True)
class CineSlice:
    """One acquisition of one slice position.

    Args:
        frames: Headers in the order of trigger time.
        fault: Why the slice must not be used, None if it is sound.
    """

    frames: tuple[FrameHeader, ...]
    fault: SubjectError | None


def sort_into_slices(headers: Sequence[FrameHeader]) -> tuple[list[CineSlice], list[str]]:
    """Sort cine frames by geometry and time alone; file names, series names and instance numbers carry no order.

    Positions are taken along the slice normal that most frames share. Where a position was acquired more than once,
    the complete acquisition is used; among several complete ones the later by acquisition time; the same rule for all
    slices.

    Args:
        headers: All original short-axis frames of one visit, in any order.

    Returns:
        Slices in the order of their position along (row x column direction), and one line for each repeat.
    """
    positions = [_by_series(frames) for frames in _by_position(headers, _common_normal(headers))]
    n_phases = _expected_phases([frames for acquisitions in positions for frames in acquisitions])
    slices: list[CineSlice] = []
    findings: list[str] = []
    for index, acquisitions in enumerate(positions):
        candidates = [_acquisition(frames, index, n_phases) for frames in acquisitions]
        chosen = candidates[0] if len(candidates) == 1 else _choose(candidates, index)
        slices.append(chosen)
        if len(candidates) > 1:
            name = shown(chosen.frames[0].series_description)
            n_complete = sum(candidate.fault is None for candidate in candidates)
            which = "complete" if n_complete == 1 else "complete, later"
            used = f"the {which} acquisition was used" if chosen.fault is None else "no acquisition is usable"
            findings.append(f"series {name} repeats slice {index} ({len(candidates)} acquisitions): {used}")
    return slices, findings


def _common_normal(headers: Iterable[FrameHeader]) -> NDArray[np.float64]:
    counts = Counter(tuple(round(cosine, 3) for cosine in header.image_orientation) for header in headers)
    orientation = counts.most_common(1)[0][0]
    return np.cross(orientation[:3], orientation[3:])


def _expected_phases(acquisitions: Sequence[list[FrameHeader]]) -> int:
    """Phases of a complete slice: the most frequent count, unless the headers announce more (0018,1090)."""
    counts = Counter(len(frames) for frames in acquisitions)
    found = max(counts, key=lambda count: (counts[count], count))
    announced = Counter(frames[0].n_phases or 0 for frames in acquisitions).most_common(1)[0][0]
    return max(found, announced)


def _by_position(headers: Sequence[FrameHeader], normal: NDArray[np.float64]) -> list[list[FrameHeader]]:
    distances = np.array([header.image_position for header in headers]) @ normal
    order = np.argsort(distances, kind="stable")
    is_new = np.diff(distances[order]) > SAME_SLICE_TOLERANCE_MM
    return [[headers[i] for i in group] for group in np.split(order, np.flatnonzero(is_new) + 1)]


def _by_series(frames: Iterable[FrameHeader]) -> list[list[FrameHeader]]:
    by_series: dict[str, list[FrameHeader]] = {}
    for frame in frames:
        by_series.setdefault(frame.series_instance_uid, []).append(frame)
    return list(by_series.values())


def _acquisition(frames: list[FrameHeader], index: int, n_phases: int) -> CineSlice:
    frames = sorted(frames, key=lambda frame: frame.trigger_time_ms)
    problem = _geometry_problem(frames) or _timing_problem(frames, n_phases)
    fault = SubjectError(problem, where=f"slice {index}", remedy=REMEDY) if problem else None
    return CineSlice(frames=tuple(frames), fault=fault)


def _geometry_problem(frames: list[FrameHeader]) -> str | None:
    positions = np.array([frame.image_position for frame in frames])
    spread = float(np.ptp(positions, axis=0).max())
    if spread > SAME_SLICE_TOLERANCE_MM:
        return f"phases whose positions differ by {spread:.2f} mm"
    layouts = {(f.rows, f.columns, f.pixel_spacing, f.image_orientation) for f in frames}
    if len(layouts) > 1:
        return f"phases of {len(layouts)} different sizes, spacings or orientations"
    return None


def _timing_problem(frames: list[FrameHeader], n_phases: int) -> str | None:
    steps = np.diff([frame.trigger_time_ms for frame in frames])
    if (steps <= 0).any():
        return f"{int((steps <= 0).sum())} trigger times (0018,1060) that occur twice, so that phases have no order,"
    if len(frames) != n_phases:
        return f"{len(frames)} phases instead of {n_phases}"
    if len(steps) and (longest := steps.max()) > TRIGGER_GAP_FACTOR * np.median(steps):
        return f"a gap of {longest:.1f} ms between trigger times {np.median(steps):.1f} ms apart"
    return None


def _choose(candidates: list[CineSlice], index: int) -> CineSlice:
    complete = [candidate for candidate in candidates if candidate.fault is None]
    if len(complete) < 2:
        return (complete or candidates)[0]
    times = [candidate.frames[0].acquired_at for candidate in complete]
    known = [time for time in times if time is not None]
    if len(known) < len(times) or sorted(known)[-1] == sorted(known)[-2]:
        fault = SubjectError(
            f"{len(complete)} complete acquisitions without distinct acquisition times (0008,0032)",
            where=f"slice {index}",
            remedy="remove the acquisition that is not wanted",
        )
        return CineSlice(frames=complete[0].frames, fault=fault)
    return complete[times.index(max(known))]
