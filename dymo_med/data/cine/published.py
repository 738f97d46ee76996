"""Frames and model image as the published networks were trained on, flaws included."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dymo_med.data.cine.phases import CineFrames, find_phases
from dymo_med.data.cine.stack import CineStack
from dymo_med.utils import SubjectError, check_positive_int

__all__ = ["published_frames", "to_published_image"]

FIELD_PIXELS = 210
"""Side of the square to which every frame is filled up with zeros, whatever the size of its pixels."""


def published_frames(stack: CineStack) -> CineFrames:
    """Take the slice at half the number of slices; the first phase as end-diastole, half the way to end-systole as mid.

    The published end-systole was found by a segmentation network; here it is where the blood pool is smallest, as for
    all other images of this package. Of a pair of files, ``mid`` is the mean, as no cine is there to take it from.

    Args:
        stack: Acquisition to choose from.

    Raises:
        SubjectError: too few phases, nothing moves, or a needed frame cannot be decoded.

    Source:
        TIP (arXiv 2407.07582), preparation of the cardiac images.

    Example:
        >>> x, y = np.mgrid[:40, :40] - 20
        >>> def beating_disk(k, t):
        ...     return 100 * (np.hypot(x, y) < 8 + 3 * np.cos(2 * np.pi * t / 12)).astype(np.float32)
        >>> stack = CineStack(shape=(40, 40, 4, 12), affine=np.diag([-2.0, -2.0, 10.0, 1.0]),
        ...     trigger_time_ms=np.arange(12) * 70.0, decode=beating_disk)
        >>> frames = published_frames(stack)
        >>> dict(frames.phase_indices), frames.slice_index
        ({'es': 6, 'mid': 3, 'ed': 0}, 2)
    """
    slice_index = stack.shape[2] // 2
    mid: int | None
    if stack.known_phases is not None:
        (ed, es), mid, confidence = stack.known_phases, None, 1.0
    else:
        _, es, confidence = find_phases(stack, slice_index)
        ed, mid = 0, es // 2
    first, last = (stack.frame(slice_index, phase) for phase in (ed, es))
    middle = (first + last) / 2 if mid is None else stack.frame(slice_index, mid)
    return CineFrames(
        values=np.stack([last, middle, first]),
        affine=stack.affine,
        spacing_mm=stack.spacing_mm,
        slice_index=slice_index,
        phase_indices={"es": es, "mid": mid, "ed": ed},
        method="as published: middle of the stack, first phase",
        confidence=confidence,
        findings=stack.findings,
    )


def to_published_image(frames: CineFrames, *, size: int = 128) -> NDArray[np.float32]:
    """Fill up the frames with zeros to 210 x 210 pixels, scale each by its own maximum, and shrink them.

    The whole field of view is kept, pixels keep the size of their scan, and nothing is smoothed before it shrinks.

    Args:
        frames: Frames of one slice.
        size: Pixels along each side.

    Returns:
        (3, size, size), channels in the order of ``CHANNELS``, axes X and Y as in ``frames``.

    Raises:
        ValueError: the size is not positive.
        SubjectError: a frame is empty, larger than 210 pixels, or its sides differ by an odd number of pixels; the
            published preparation fails for these.

    Source:
        TIP (arXiv 2407.07582), preparation of the cardiac images; linear interpolation between pixel centers.

    Example:
        >>> frames = CineFrames(values=np.full((3, 60, 40), 500, np.float32), affine=np.eye(4), slice_index=0,
        ...     spacing_mm=(1.8, 1.8, 10.0), phase_indices={}, method="", confidence=1.0, findings=())
        >>> image = to_published_image(frames, size=210)
        >>> image.shape, float(image.max()), float(image[0].sum())
        ((3, 210, 210), 1.0, 2400.0)
    """
    check_positive_int("size", size)
    columns, rows = frames.values.shape[1:]
    if max(rows, columns) > FIELD_PIXELS or (rows - columns) % 2:
        raise SubjectError(
            f"{rows} x {columns} pixels, above {FIELD_PIXELS} or sides that differ by an odd number,",
            where="the selected frames",
            remedy="not part of the published cohort",
        )
    highest = frames.values.max(axis=(1, 2), keepdims=True)
    if not (highest > 0).all():
        raise SubjectError(
            f"no intensity above 0 in one of {len(highest)} frames",
            where="the selected frames",
            remedy="the images are blank: export the series again",
        )
    before = [(FIELD_PIXELS - side) // 2 for side in (columns, rows)]
    margins = [(n, FIELD_PIXELS - side - n) for n, side in zip(before, (columns, rows), strict=True)]
    square = np.pad(frames.values / highest, [(0, 0), *margins])
    factor = FIELD_PIXELS / size
    return ndimage.affine_transform(  # type: ignore[no-any-return]
        square,
        [1.0, factor, factor],
        offset=[0.0, (factor - 1) / 2, (factor - 1) / 2],
        output_shape=(len(square), size, size),
        order=1,
        mode="nearest",
    ).astype(np.float32)
