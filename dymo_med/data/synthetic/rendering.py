"""Pictures of the simulated heart as a balanced steady-state cine shows them."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dymo_med.data.synthetic.acquisition import SLICE_STEP_MM, PhantomImageSize
from dymo_med.data.synthetic.heart import Heart
from dymo_med.data.synthetic.torso import TISSUE, blend, ellipse_depth, pixel_grid, render_torso

__all__ = ["render_cine", "render_clean"]

Array = npt.NDArray[np.float32]

_HEART_REACH_MM = 88.0  # nothing of the heart lies further from the center of the left ventricle
_FULL_SCALE = 900.0
_PAPILLARY_ANGLES_RAD = (-0.75, 1.9)


def render_cine(
    heart: Heart, image: PhantomImageSize, *, bmi: float, rng: np.random.Generator
) -> npt.NDArray[np.uint16]:
    """Draw a short-axis cine with uneven coil sensitivity and Rician noise.

    Args:
        heart: What to draw.
        image: Slices, frames and pixels.
        bmi: Body mass index of the participant; fat grows with it.
        rng: Source of randomness for surroundings, gain, sensitivity and noise.

    Returns:
        (S, T, rows, columns) stored values, slices from base to apex.

    Example:
        >>> from dymo_med.data.synthetic.heart import draw_heart
        >>> from dymo_med.data.synthetic.person import draw_person
        >>> heart = draw_heart(draw_person(np.random.default_rng(0)), np.random.default_rng(1))
        >>> size = PhantomImageSize(n_slices=2, n_frames=4, rows=32, columns=32)
        >>> render_cine(heart, size, bmi=26.0, rng=np.random.default_rng(2)).shape
        (2, 4, 32, 32)
    """
    clean = render_clean(heart, image, bmi=bmi, rng=rng)
    right, down = pixel_grid(image.rows, image.columns, image.pixel_spacing_mm)
    slope_x, slope_y, bend = rng.normal(-0.0012, 0.0006), rng.normal(-0.0010, 0.0006), rng.normal(0, 2e-6)
    gain = np.exp(slope_x * right + slope_y * down + bend * (right**2 - down**2)).astype(np.float32)
    clean *= gain
    sigma = np.float32(rng.uniform(0.018, 0.032))
    real, imaginary = rng.standard_normal((2, *clean.shape), dtype=np.float32)
    real *= sigma
    real += clean
    imaginary *= sigma
    magnitude = np.sqrt(real * real + imaginary * imaginary)
    magnitude *= _FULL_SCALE * math.exp(rng.normal(0, 0.25))
    stored: npt.NDArray[np.uint16] = np.minimum(magnitude, 65535).astype(np.uint16)
    return stored


def render_clean(heart: Heart, image: PhantomImageSize, *, bmi: float, rng: np.random.Generator) -> Array:
    """Draw the cine without noise and with even sensitivity.

    Args:
        heart: What to draw.
        image: Slices, frames and pixels.
        bmi: Body mass index of the participant.
        rng: Source of randomness for the surroundings.

    Returns:
        (S, T, rows, columns) brightness, about 0 to 1.

    Example:
        >>> from dymo_med.data.synthetic.heart import draw_heart
        >>> from dymo_med.data.synthetic.person import draw_person
        >>> heart = draw_heart(draw_person(np.random.default_rng(0)), np.random.default_rng(1))
        >>> size = PhantomImageSize(n_slices=1, n_frames=4, rows=32, columns=32)
        >>> bool(render_clean(heart, size, bmi=26.0, rng=np.random.default_rng(2)).max() < 1.5)
        True
    """
    edge = image.pixel_spacing_mm
    right, down = pixel_grid(image.rows, image.columns, edge)
    right, down = right - np.float32(heart.offset_mm[0]), down - np.float32(heart.offset_mm[1])
    positions = heart.slice_positions(image.n_slices, SLICE_STEP_MM)
    torso = render_torso(right, down, positions, bmi=bmi, edge_mm=edge, rng=rng)
    cine = np.repeat(torso[:, None], image.n_frames, axis=1)
    box = _box(right, down, _HEART_REACH_MM)
    contraction = heart.contraction(image.n_frames).astype(np.float32)[:, None, None]
    for k, u in enumerate(positions):
        _draw_heart(cine[k, :, *box], heart, float(u), contraction, right[box], down[box], edge)
    return cine


def _box(right: Array, down: Array, reach_mm: float) -> tuple[slice, slice]:
    """Give rows and columns that lie within ``reach_mm`` of the origin."""
    row, column = np.flatnonzero(np.abs(down[:, 0]) < reach_mm), np.flatnonzero(np.abs(right[0]) < reach_mm)
    return slice(row[0], row[-1] + 1), slice(column[0], column[-1] + 1)


def _draw_heart(
    frames: Array, heart: Heart, u: float, contraction: Array, right: Array, down: Array, edge: float
) -> None:
    """Draw both ventricles of one slice into its frames (T, h, w), in place."""
    if u >= 1:
        return
    cos, sin = np.float32(math.cos(heart.rotation_rad)), np.float32(math.sin(heart.rotation_rad))
    x, y = right * cos + down * sin, down * cos - right * sin
    distance, theta = np.sqrt(x * x + y * y), np.arctan2(y, x)
    level = np.asarray(min(max(u, 0.0), 1.0), dtype=np.float32)
    inner = heart.inner_radius(level, theta, contraction)
    outer = heart.outer_radius(level, theta, contraction)
    rest = float(outer.max())
    _draw_right_ventricle(frames, heart, u, rest, contraction, x, y, edge)
    blend(frames, TISSUE["heart_fat"], outer + np.float32(1.5) - distance, edge)
    blend(frames, TISSUE["myocardium"], outer - distance, edge)
    blend(frames, TISSUE["blood"], inner - distance, edge)
    pool = _box(right, down, float(inner.max()) + edge)
    for angle in _PAPILLARY_ANGLES_RAD:
        _draw_papillary(frames[:, *pool], heart, level, angle, contraction, x[pool], y[pool], edge)


def _draw_right_ventricle(
    frames: Array, heart: Heart, u: float, rest: float, contraction: Array, x: Array, y: Array, edge: float
) -> None:
    """Draw the crescent left of the septum; what the left ventricle covers is painted over afterwards."""
    size = heart.rv_scale * math.sqrt(max(0.0, 1 - (max(u, 0.0) / 0.92) ** 2))
    if size == 0:
        return
    width, height = 0.95 * rest * size, 1.12 * rest * size
    center = (-0.82 * rest * (0.7 + 0.3 * size), 0.2 * rest)
    depth = ellipse_depth(x, y, center, (width, height), 0.35)
    inward = np.float32(0.75 * heart.rv_shortening * width) * contraction
    blend(frames, TISSUE["heart_fat"], depth + np.float32(6.0) - np.float32(0.8) * inward, edge)
    blend(frames, TISSUE["myocardium"], depth + np.float32(3.0) - inward, edge)
    blend(frames, TISSUE["rv_blood"], depth - inward, edge)


def _draw_papillary(
    frames: Array, heart: Heart, level: Any, angle: float, contraction: Array, x: Array, y: Array, edge: float
) -> None:
    """Draw one papillary muscle, a dark spot that moves with the wall; absent near base and apex."""
    radius = np.float32(5.0 * math.sqrt(max(0.0, 1 - ((level - 0.5) / 0.35) ** 2)))
    if radius == 0:
        return
    wall = heart.inner_radius(level, np.array([angle], dtype=np.float32), contraction[:, 0])  # (T, 1)
    track = np.maximum(wall - 0.9 * radius, 0.55 * wall)[:, :, None]
    gap = np.sqrt((x - np.cos(angle) * track) ** 2 + (y - np.sin(angle) * track) ** 2)
    blend(frames, TISSUE["myocardium"], radius - gap, edge)
