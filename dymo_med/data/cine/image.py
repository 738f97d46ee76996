"""Three cine frames as the fixed-size image a network takes."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dymo_med.data.cine.phases import CineFrames
from dymo_med.utils import SubjectError, check_positive, check_positive_int

__all__ = ["to_model_image"]

PERCENTILES = (1.0, 99.0)
"""Intensities that become 0 and 1: a few bright vessels must not dim the heart."""


def to_model_image(frames: CineFrames, *, size: int = 128, spacing_mm: float = 1.8) -> NDArray[np.float32]:
    """Resample the frames in their plane, cut or pad around the image center, and scale them to [0, 1].

    All three channels share one intensity scale (1st to 99th percentile over the three), so that differences between
    phases stay differences of the heart. Before pixels are made larger, they are smoothed against aliasing. What lies
    outside the frame is 0.

    Args:
        frames: Frames of one slice.
        size: Pixels along each side; the default is that of the published networks.
        spacing_mm: Pixel size; the default is close to that of UK Biobank (1.83 mm), 128 of them cover 230 mm.

    Returns:
        (3, size, size), channels in the order of ``CHANNELS``, axes X and Y as in ``frames``.

    Raises:
        ValueError: size or spacing is not positive.
        SubjectError: the frames are constant.

    Example:
        >>> values = np.zeros((3, 60, 40), np.float32)
        >>> values[:, 25:35, 15:25] = 500
        >>> frames = CineFrames(values=values, affine=np.eye(4), spacing_mm=(1.8, 1.8, 10.0), slice_index=0,
        ...     phase_indices={}, method="", confidence=1.0, findings=())
        >>> image = to_model_image(frames, size=64)
        >>> image.shape, float(image.max()), float(image[0].sum())
        ((3, 64, 64), 1.0, 100.0)
    """
    check_positive_int("size", size)
    check_positive("spacing_mm", spacing_mm)
    scaled = _to_unit_range(frames.values)
    factors = np.array([1.0, spacing_mm / frames.spacing_mm[0], spacing_mm / frames.spacing_mm[1]])
    blurred = ndimage.gaussian_filter(scaled, np.maximum(factors - 1, 0) / 2, mode="nearest")
    output_center = np.array([1.0, (size - 1) / 2, (size - 1) / 2])
    input_center = (np.array(scaled.shape) - 1) / 2
    image = ndimage.affine_transform(
        blurred,
        factors,
        offset=input_center - factors * output_center,
        output_shape=(len(scaled), size, size),
        order=1,
        mode="grid-constant",
        cval=0.0,
    )
    return np.clip(image, 0, 1)  # type: ignore[no-any-return]


def _to_unit_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.percentile(values, PERCENTILES)
    if not high > low:
        raise SubjectError(
            f"constant intensity {low:g} between the 1st and the 99th percentile",
            where="the selected frames",
            remedy="the images are blank: export the series again",
        )
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)  # type: ignore[no-any-return]
