"""The simulated chest around the heart, which stands still: fat, muscle, lung, liver, stomach, aorta, spine."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TISSUE", "blend", "ellipse_depth", "pixel_grid", "render_torso"]

Array = npt.NDArray[np.float32]

# Brightness in a balanced steady-state cine, relative to the full range of a scan.
TISSUE = {
    "air": 0.01,
    "lung": 0.05,
    "myocardium": 0.25,
    "muscle": 0.22,
    "liver": 0.33,
    "spleen": 0.42,
    "bone": 0.36,
    "rib": 0.12,
    "blood": 0.78,
    "rv_blood": 0.70,
    "fat": 0.92,
    "heart_fat": 0.55,
}
_N_VESSELS = 26


def pixel_grid(rows: int, columns: int, spacing_mm: float) -> tuple[Array, Array]:
    """Give the position of each pixel in mm relative to the image center.

    Args:
        rows: Image rows.
        columns: Image columns.
        spacing_mm: Edge of a pixel.

    Returns:
        Distance to the right and downward, each (rows, columns).

    Example:
        >>> right, down = pixel_grid(3, 3, 2.0)
        >>> right[0].tolist(), down[:, 0].tolist()
        ([-2.0, 0.0, 2.0], [-2.0, 0.0, 2.0])
    """
    right = (np.arange(columns, dtype=np.float32) - (columns - 1) / 2) * spacing_mm
    down = (np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * spacing_mm
    grid = np.meshgrid(right, down)
    return grid[0].astype(np.float32), grid[1].astype(np.float32)


def blend(
    image: npt.NDArray[Any], brightness: float | npt.NDArray[Any], depth_mm: npt.NDArray[Any], edge_mm: float
) -> None:
    """Paint where ``depth_mm`` is positive, in place, with an edge as soft as a pixel is large.

    Args:
        image: Any shape; changed.
        brightness: Tissue brightness; a number or an array that broadcasts.
        depth_mm: Distance inside the border (positive inside), broadcast to the image.
        edge_mm: Width of the transition.

    Example:
        >>> image = np.zeros(3, np.float32)
        >>> blend(image, 1.0, np.array([-5.0, 0.0, 5.0], np.float32), 2.0)
        >>> image.tolist()
        [0.0, 0.5, 1.0]
    """
    cover = np.clip(depth_mm / edge_mm + 0.5, 0, 1)
    image += cover * (brightness - image)


def ellipse_depth(
    right: Array, down: Array, center: tuple[float, float], axes: tuple[float, float], turn: float
) -> Array:
    """Give the distance inside an ellipse along the ray from its center (positive inside).

    Args:
        right: Pixel positions in mm.
        down: Pixel positions in mm.
        center: Center in mm, (right, down).
        axes: Half axes in mm.
        turn: Rotation in radians, positive from right toward down.

    Returns:
        Depth in mm, of the shape of ``right``.

    Example:
        >>> depth = ellipse_depth(np.float32([0, 10, 15]), np.float32([0, 0, 0]), (0, 0), (10, 5), 0.0)
        >>> depth.round().astype(int).tolist()
        [5, 0, -5]
    """
    x, y = right - center[0], down - center[1]
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    level = np.sqrt((along / axes[0]) ** 2 + (across / axes[1]) ** 2) + 1e-3
    radius = np.sqrt(x**2 + y**2) + 1e-3 * min(axes)
    return np.asarray(radius / level - radius, dtype=np.float32)


def render_torso(
    right: Array, down: Array, positions: npt.NDArray[Any], *, bmi: float, edge_mm: float, rng: np.random.Generator
) -> Array:
    """Draw what surrounds the heart.

    The picture is the usual short-axis display: chest wall to the upper left, liver below left, stomach and spleen
    below right, aorta and spine at the lower right, lung between. Toward the apex the diaphragm rises and the wall
    comes near.

    Args:
        right: (H, W) positions in mm relative to the left ventricle.
        down: (H, W) positions in mm relative to the left ventricle.
        positions: (S,) long-axis position of each slice, 0 base to 1 apex.
        bmi: Body mass index; fat grows with it.
        edge_mm: Softness of borders.
        rng: Source of randomness.

    Returns:
        (S, H, W) brightness.

    Example:
        >>> right, down = pixel_grid(40, 40, 5.0)
        >>> render_torso(right, down, np.array([0.2, 0.8]), bmi=26, edge_mm=5.0, rng=np.random.default_rng(0)).shape
        (2, 40, 40)
    """
    fat_mm = float(np.clip(6 + 1.0 * (bmi - 19) + rng.normal(0, 2), 4, 26))
    turn, width, height = rng.normal(-0.6, 0.06), rng.normal(180, 6), rng.normal(132, 5)
    wall_x, liver_y, stomach_x, aorta_x = rng.normal(54, 4), rng.normal(40, 3), rng.normal(62, 8), rng.normal(52, 5)
    vessels, texture = _vessels(right, down, rng), _texture(right, down, rng)
    slices = []
    for u in np.clip(positions, 0, 1):
        body = ellipse_depth(right, down, (wall_x + 6 - 8 * u, 28 - 6 * u), (width, height), turn)
        image = np.full_like(right, TISSUE["air"])
        blend(image, TISSUE["fat"], body, edge_mm)
        blend(image, TISSUE["muscle"] * (1 + 0.3 * texture), body - fat_mm, edge_mm)
        ribs = np.cos((right - down) / 7.5) * 6 - np.abs(body - fat_mm - 9)
        blend(image, TISSUE["rib"], ribs - 1.5, edge_mm)
        inside = body - fat_mm - 16
        blend(image, TISSUE["lung"] + vessels * (0.6 + 0.5 * np.sin(9 * u + right / 30)), inside, edge_mm)
        dome = down - (liver_y - 12 * u) - (right + 15) ** 2 / 350
        blend(image, TISSUE["liver"] * (1 + 0.12 * texture), np.minimum(inside, dome), edge_mm)
        organ = ellipse_depth(right, down, (stomach_x - 10 * u, liver_y + 30 - 14 * u), (34 + 8 * u, 26), 0.5)
        blend(image, TISSUE["spleen"] * (1 + 0.2 * texture), np.minimum(inside, organ), edge_mm)
        spine = ellipse_depth(right, down, (aorta_x + 62, 62), (24, 20), 0.3)
        blend(image, TISSUE["bone"] * (1 + 0.2 * texture), spine, edge_mm)
        aorta = ellipse_depth(right, down, (aorta_x + 22 + 8 * u, 42 + 6 * u), (12.5, 11.5), 0.6)
        blend(image, TISSUE["muscle"], aorta + 2, edge_mm)
        blend(image, TISSUE["blood"], aorta, edge_mm)
        slices.append(image)
    return np.stack(slices)


def _vessels(right: Array, down: Array, rng: np.random.Generator) -> Array:
    """Give small bright dots, the vessels of the lung."""
    x, y = rng.uniform(-40, 110, _N_VESSELS), rng.uniform(-100, 40, _N_VESSELS)
    size, bright = rng.uniform(1.5, 3.5, _N_VESSELS), rng.uniform(0.1, 0.4, _N_VESSELS)
    near = (right[0][None] - x[:, None]) / size[:, None]
    level = (down[:, 0][None] - y[:, None]) / size[:, None]
    dots = (bright[:, None] * np.exp(-0.5 * level**2)).T @ np.exp(-0.5 * near**2)
    return np.asarray(dots, dtype=np.float32)


def _texture(right: Array, down: Array, rng: np.random.Generator) -> Array:
    """Give smooth variation of tissue, about -1 to 1."""
    waves = rng.uniform(-0.25, 0.25, (2, 6)).astype(np.float32)
    phases = rng.uniform(0, math.tau, 6).astype(np.float32)
    total = sum(np.sin(waves[0, k] * right + waves[1, k] * down + phases[k]) for k in range(6))
    return np.asarray(total / 3, dtype=np.float32)
