"""The simulated heart: its shape, how it contracts, and the volumes that follow from both."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from dymo_med.data.synthetic.person import Person

__all__ = ["Heart", "draw_heart"]

Array = npt.NDArray[np.floating[Any]]

_DENSITY_G_PER_ML = 1.05
_BASE_TO_APEX_POWER = 2.2  # radius squared falls as 1 - u ** power from base (u = 0) to apex (u = 1)
_PROFILE_INTEGRAL = _BASE_TO_APEX_POWER / (_BASE_TO_APEX_POWER + 1)
_TERRITORIES_RAD = (-1.75, 1.45, 0.1)  # anterior and septal, inferior, lateral; 0 = image right, positive = downward


@dataclass(frozen=True, kw_only=True)
class Heart:
    """Left ventricle as stacked rings whose wall keeps its area, with a right ventricle beside it.

    Long-axis position ``u`` runs from 0 (base) to 1 (apex); the angle ``theta`` is measured in the image plane from the
    right, positive downward, before the whole heart is rotated by ``rotation_rad``.

    Args:
        base_radius_mm: Inner radius at the base, end of diastole.
        length_mm: Inner length from base to apex.
        wall_mm: Wall thickness at the base, end of diastole, outside any scar.
        shortening: Fraction by which a healthy inner radius shortens until end of systole.
        segment_angle_rad: Centre of the diseased segment.
        segment_half_width_rad: Half its width; 0 for none.
        segment_motion_loss: 0 moves like the rest, 1 stands still.
        segment_thinning: Fraction of the wall that is lost there.
        rv_scale: Size of the right ventricle relative to its usual share.
        rv_shortening: Fraction by which the right ventricle narrows until end of systole.
        systole_fraction: Share of the cycle from end of diastole to end of systole.
        cycle_shift: Share of the cycle by which the end of diastole lies after frame 0; may be negative.
        rotation_rad: Rotation of the heart in the image plane.
        offset_mm: Centre of the left ventricle relative to the image centre, (right, down).

    Example:
        >>> from dymo_med.data.synthetic.person import draw_person
        >>> heart = draw_heart(draw_person(np.random.default_rng(0)), np.random.default_rng(1))
        >>> heart.esv_ml < heart.edv_ml
        True
    """

    base_radius_mm: float
    length_mm: float
    wall_mm: float
    shortening: float
    segment_angle_rad: float
    segment_half_width_rad: float
    segment_motion_loss: float
    segment_thinning: float
    rv_scale: float
    rv_shortening: float
    systole_fraction: float
    cycle_shift: float
    rotation_rad: float
    offset_mm: tuple[float, float]

    def contraction(self, n_frames: int) -> Array:
        """Give the contraction per frame: 0 at end of diastole, 1 at end of systole.

        Args:
            n_frames: Frames in one cycle.

        Returns:
            (T,) values in [0, 1].

        Example:
            >>> from dymo_med.data.synthetic.person import draw_person
            >>> heart = draw_heart(draw_person(np.random.default_rng(0)), np.random.default_rng(1))
            >>> heart.contraction(20).shape
            (20,)
        """
        end, rest = self.systole_fraction, 1 - self.systole_fraction
        knots = np.array([0, 0.3 * end, 0.65 * end, end, end + 0.22 * rest, end + 0.42 * rest, end + 0.8 * rest, 1])
        values = np.array([0, 0.32, 0.82, 1, 0.74, 0.36, 0.24, 0])
        curve = PchipInterpolator(np.r_[knots[-2] - 1, knots, 1 + knots[1]], np.r_[values[-2], values, values[1]])
        phase = (np.arange(n_frames) / n_frames - self.cycle_shift) % 1
        return np.asarray(np.clip(curve(phase), 0, 1))

    def ed_frame(self, n_frames: int) -> int:
        """Give the frame at which the left ventricle is largest."""
        return int(np.argmin(self.contraction(n_frames)))

    def es_frame(self, n_frames: int) -> int:
        """Give the frame at which the left ventricle is smallest."""
        return int(np.argmax(self.contraction(n_frames)))

    def slice_positions(self, n_slices: int, slice_step_mm: float) -> Array:
        """Give ``u`` of each slice; the stack is centred on the middle of the ventricle and runs from base to apex."""
        steps = np.arange(n_slices) - (n_slices - 1) / 2
        return 0.5 + steps * slice_step_mm / self.length_mm

    def segment(self, theta: Array) -> Array:
        """Give how far each angle belongs to the diseased segment, from 0 to 1, with a soft border."""
        if self.segment_half_width_rad == 0:
            return np.zeros_like(theta)
        distance = np.abs((theta - self.segment_angle_rad + math.pi) % math.tau - math.pi)
        return np.asarray(0.5 * (1 + np.tanh((self.segment_half_width_rad - distance) / 0.12)))

    def inner_radius(self, u: Array, theta: Array, contraction: Array) -> Array:
        """Give the radius of the blood pool in mm; arguments broadcast."""
        moving = self.shortening * (1 - self.segment_motion_loss * self.segment(theta))
        return self._diastolic_radius(u) * (1 - moving * contraction)

    def outer_radius(self, u: Array, theta: Array, contraction: Array) -> Array:
        """Give the outer radius of the wall in mm, such that its area at each angle stays constant over the cycle."""
        inner = self.inner_radius(u, theta, contraction)
        return np.sqrt(inner**2 + self.wall_area(u, theta))

    def wall_area(self, u: Array, theta: Array) -> Array:
        """Give outer radius squared minus inner radius squared (mm2), the quantity that contraction conserves."""
        inside = u < 1
        wall = self.wall_mm * (1 - 0.25 * np.clip(u, 0, 1)) * (1 - self.segment_thinning * self.segment(theta))
        radius = self._diastolic_radius(u)
        return np.where(inside, wall * (2 * radius + wall), 0.0)

    @cached_property
    def edv_ml(self) -> float:
        """End-diastolic volume of the left ventricle in mL."""
        return self._volume_ml(0.0)

    @cached_property
    def esv_ml(self) -> float:
        """End-systolic volume of the left ventricle in mL."""
        return self._volume_ml(1.0)

    @property
    def ef_percent(self) -> float:
        """Ejection fraction of the left ventricle in percent."""
        return 100 * (1 - self.esv_ml / self.edv_ml)

    @cached_property
    def mass_g(self) -> float:
        """Mass of the left ventricular wall in g."""
        u, theta = _grid()
        return _DENSITY_G_PER_ML * float(self.wall_area(u, theta).mean()) * math.pi * self.length_mm / 1000

    @property
    def rv_edv_ml(self) -> float:
        """End-diastolic volume of the right ventricle in mL, by its share of the left one."""
        return 1.08 * self.rv_scale * _PROFILE_INTEGRAL * math.pi * self.base_radius_mm**2 * self.length_mm / 1000

    @property
    def rv_esv_ml(self) -> float:
        """End-systolic volume of the right ventricle in mL."""
        return self.rv_edv_ml * (1 - self.rv_shortening) ** 2

    def _diastolic_radius(self, u: Array) -> Array:
        share = np.clip(1 - np.clip(u, 0, 1) ** _BASE_TO_APEX_POWER, 0, None)
        return np.asarray(self.base_radius_mm * np.sqrt(share))

    def _volume_ml(self, contraction: float) -> float:
        u, theta = _grid()
        radius = self.inner_radius(u, theta, np.asarray(contraction))
        return float((radius**2).mean()) * math.pi * self.length_mm / 1000


def _grid() -> tuple[Array, Array]:
    """Give midpoints of u as (U, 1) and theta as (A,) for integrals."""
    return ((np.arange(60) + 0.5) / 60)[:, None], (np.arange(90) + 0.5) / 90 * math.tau


def draw_heart(person: Person, rng: np.random.Generator) -> Heart:
    """Draw the heart that a participant's body and diseases shape.

    High pressure thickens the wall. An infarction thins one segment, stops its motion and lets the ventricle dilate.
    Coronary disease without infarction weakens a segment. Large healthy ventricles, conduction delay and other muscle
    disease occur without coronary disease, so that an image cannot decide the diagnosis either.

    Args:
        person: The participant.
        rng: Source of randomness for the anatomy.

    Returns:
        The heart.

    Example:
        >>> from dymo_med.data.synthetic.person import draw_person
        >>> heart = draw_heart(draw_person(np.random.default_rng(0)), np.random.default_rng(1))
        >>> 40 < heart.edv_ml < 400
        True
    """
    damage = _draw_damage(person, rng)
    pressure_load = max(0.0, person.usual_sbp_mmhg - 132) / 20
    wall = (8.6 if person.male else 7.3) + 0.8 * pressure_load + 0.05 * (person.bmi - 26.6) + rng.normal(0, 0.7)
    length = 50 + 22 * person.body_surface_m2 + rng.normal(0, 4)
    edv = (79 if person.male else 70) * person.body_surface_m2 * math.exp(rng.normal(0, 0.14)) * damage.dilation
    ef = float(np.clip(rng.normal(0.63, 0.055) - damage.remote_loss, 0.2, 0.75))
    return Heart(
        base_radius_mm=math.sqrt(1000 * edv / (math.pi * length * _PROFILE_INTEGRAL)),
        length_mm=length,
        wall_mm=float(np.clip(wall, 5, 17)),
        shortening=1 - math.sqrt(1 - ef),
        segment_angle_rad=float(rng.choice(_TERRITORIES_RAD) + rng.normal(0, 0.25)),
        segment_half_width_rad=damage.half_width_rad,
        segment_motion_loss=damage.motion_loss,
        segment_thinning=damage.thinning,
        rv_scale=float(rng.normal(1.0, 0.08)),
        rv_shortening=float(np.clip(rng.normal(0.34, 0.04) - 0.2 * damage.remote_loss, 0.1, 0.5)),
        systole_fraction=float(rng.uniform(0.35, 0.4)),
        cycle_shift=float(rng.choice([0.0, 0.0, rng.uniform(-0.12, 0.12)])),
        rotation_rad=float(rng.normal(0, 0.14)),
        offset_mm=(float(rng.normal(0, 6)), float(rng.normal(0, 6))),
    )


@dataclass(frozen=True)
class _Damage:
    """What disease and chance do to one ventricle; see :class:`Heart` for the first three."""

    half_width_rad: float
    motion_loss: float
    thinning: float
    remote_loss: float
    dilation: float


def _draw_damage(person: Person, rng: np.random.Generator) -> _Damage:
    """Draw the damage; healthy hearts too have a segment that moves less, and mild disease cannot be told from it."""
    severity = float(rng.beta(1.0, 2.1))
    infarction, coronary = person.infarction * severity, (person.cad and not person.infarction) * severity
    other = rng.random()
    muscle_disease, athletic = other < 0.05, 0.05 <= other < 0.12
    weakness = float(rng.uniform(0, 0.14)) if muscle_disease else 0.0
    motion = abs(rng.normal(0, 0.32)) + 0.8 * infarction + 0.45 * coronary
    thinning = rng.normal(0.06, 0.13) + 0.45 * infarction + 0.1 * coronary
    return _Damage(
        half_width_rad=float(rng.uniform(0.3, 0.8) + 0.4 * infarction + 0.15 * coronary),
        motion_loss=float(np.clip(motion, 0, 1)),
        thinning=float(np.clip(thinning, 0, 0.6)),
        remote_loss=weakness + 0.04 * infarction + 0.06 * coronary,
        dilation=1 + 2 * weakness + 0.15 * athletic + 0.25 * infarction + 0.12 * coronary,
    )
