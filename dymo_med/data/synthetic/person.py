"""Simulated participants: risk factors, treatment, disease and the dates that go with them."""

import math
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from dymo_med.utils import check_positive

__all__ = ["Person", "draw_person"]

_REGISTRY_CAD_PREVALENCE = 0.07  # share of coronary disease among imaged volunteers that a boost of 1 aims at
_INFARCTION_SHARE = 0.43  # of those with coronary disease
_FIRST_SCAN = date(2014, 5, 2)
_SCAN_DAYS = 2100


@dataclass(frozen=True, kw_only=True)
class Person:
    """One simulated participant before any instrument measures something.

    Args:
        male: Sex as in field 31 (True = 1).
        birth: Date of birth; only year and month are ever written.
        baseline: Date of the first assessment visit.
        scan: Date of the imaging visit.
        height_cm: Standing height.
        bmi: Body mass index in kg/m2.
        smoking: 0 never, 1 previous, 2 current.
        ldl_z: Standardised long-term cholesterol; no table column shows it.
        fitness_z: Standardised physical fitness.
        usual_sbp_mmhg: Systolic pressure without treatment.
        hypertension: Long-term systolic pressure of 140 mmHg or more.
        bp_treated: Takes drugs against high blood pressure.
        sbp_mmhg: Systolic pressure at the scan, treatment included.
        dbp_mmhg: Diastolic pressure at the scan.
        heart_rate_bpm: Resting heart rate at the scan.
        diabetes: Diabetes mellitus.
        insulin: Takes insulin.
        statin: Takes cholesterol-lowering drugs.
        cad: Coronary artery disease known at the scan.
        infarction: Myocardial infarction before the scan; implies ``cad``.
        cad_later: First coronary diagnosis after the scan; excludes ``cad``.
        cad_date: Date of the first coronary diagnosis, None without one.
        symptoms: Breathless on level ground.

    Example:
        >>> person = draw_person(np.random.default_rng(0))
        >>> 44 <= person.age_years <= 83
        True
    """

    male: bool
    birth: date
    baseline: date
    scan: date
    height_cm: float
    bmi: float
    smoking: int
    ldl_z: float
    fitness_z: float
    usual_sbp_mmhg: float
    hypertension: bool
    bp_treated: bool
    sbp_mmhg: float
    dbp_mmhg: float
    heart_rate_bpm: float
    diabetes: bool
    insulin: bool
    statin: bool
    cad: bool
    infarction: bool
    cad_later: bool
    cad_date: date | None
    symptoms: bool

    @property
    def age_years(self) -> float:
        """Age at the scan in years, with its fraction."""
        return (self.scan - self.birth).days / 365.25

    @property
    def weight_kg(self) -> float:
        """Body weight in kg."""
        return self.bmi * (self.height_cm / 100) ** 2

    @property
    def body_surface_m2(self) -> float:
        """Body surface in m2 by the formula of Mosteller."""
        return math.sqrt(self.height_cm * self.weight_kg / 3600)


def draw_person(rng: np.random.Generator, *, prevalence_boost: float = 4.0) -> Person:
    """Draw a participant.

    Coronary disease follows from a logistic sum of age, sex, smoking, pressure, diabetes, cholesterol, body mass and an
    unmeasured part, so that no set of table columns can decide it.

    Args:
        rng: Source of randomness of this participant.
        prevalence_boost: Times the prevalence of the registry (about 7 % coronary disease, 3 % infarction).

    Returns:
        The participant.

    Raises:
        ValueError: the boost is not positive, or asks for more than 80 % diseased participants.

    Example:
        >>> draw_person(np.random.default_rng(1)).cad in (True, False)
        True
    """
    check_positive("prevalence_boost", prevalence_boost)
    target = _REGISTRY_CAD_PREVALENCE * prevalence_boost
    if target > 0.8:
        raise ValueError(
            f"prevalence_boost must be at most {0.8 / _REGISTRY_CAD_PREVALENCE:.1f}, so that 20 % stay healthy, "
            f"however: prevalence_boost={prevalence_boost!r} asks for {target:.0%}"
        )
    male = bool(rng.random() < 0.48)
    age = float(np.clip(rng.normal(64.5, 7.8), 45, 82))
    scan = _FIRST_SCAN + timedelta(days=int(rng.integers(_SCAN_DAYS)))
    baseline = scan - timedelta(days=int(rng.integers(6 * 365, 10 * 365)))
    height = rng.normal(176.5, 6.6) if male else rng.normal(163.0, 6.2)
    bmi = float(np.clip(rng.gamma(28, 0.95), 17, 48))
    smoking = int(rng.choice(3, p=[0.57, 0.34, 0.09]))
    ldl, hidden, fitness = rng.normal(size=3)
    fitness -= 0.06 * (bmi - 26.6)
    usual_sbp = 130 + 0.55 * (age - 64) + 0.7 * (bmi - 26.6) + 3.0 * male + 15 * rng.normal()
    hypertension = usual_sbp >= 140
    bp_treated = bool(hypertension and rng.random() < 0.6)
    diabetes = bool(rng.random() < _sigmoid(-3.4 + 0.16 * (bmi - 26.6) + 0.04 * (age - 64) + 0.3 * male))
    risk = (
        0.085 * (age - 64)
        + 0.95 * (male - 0.48)
        + (0.0, 0.55, 1.1)[smoking]
        + 0.028 * (usual_sbp - 130)
        + 0.9 * diabetes
        + 0.06 * (bmi - 26.6)
        - 0.35 * fitness
        + 0.35 * ldl
        + 0.25 * hidden
        - 0.45
    )
    chance = _sigmoid(1.28 * math.log(target / (1 - target)) + risk)
    cad = bool(rng.random() < chance)
    infarction = bool(cad and rng.random() < _INFARCTION_SHARE)
    cad_later = bool(not cad and rng.random() < 0.12 * chance)
    sbp = usual_sbp - (17 if bp_treated else 0) - 4 * cad + rng.normal(0, 4)
    breathless = _sigmoid(-3.0 + 0.6 * cad + 0.5 * infarction + 0.08 * (bmi - 26.6) - 0.5 * fitness)
    return Person(
        male=male,
        birth=scan - timedelta(days=int(age * 365.25)),
        baseline=baseline,
        scan=scan,
        height_cm=float(height),
        bmi=bmi,
        smoking=smoking,
        ldl_z=float(ldl),
        fitness_z=float(fitness),
        usual_sbp_mmhg=float(usual_sbp),
        hypertension=bool(hypertension),
        bp_treated=bp_treated,
        sbp_mmhg=float(np.clip(sbp, 95, 215)),
        dbp_mmhg=float(np.clip(48 + 0.24 * sbp - 0.2 * (age - 64) + rng.normal(0, 6), 45, 125)),
        heart_rate_bpm=float(np.clip(62 - 4 * fitness - 5 * cad + rng.normal(0, 8), 40, 110)),
        diabetes=diabetes,
        insulin=bool(diabetes and rng.random() < 0.2),
        statin=bool(rng.random() < (0.75 if cad else _sigmoid(-1.5 + 0.8 * ldl + 1.2 * diabetes))),
        cad=cad,
        infarction=infarction,
        cad_later=cad_later,
        cad_date=_first_diagnosis(rng, scan, cad=cad, later=cad_later),
        symptoms=bool(rng.random() < breathless),
    )


def _first_diagnosis(rng: np.random.Generator, scan: date, *, cad: bool, later: bool) -> date | None:
    before, after = int(rng.integers(60, 14 * 365)), int(rng.integers(30, 5 * 365))
    if cad:
        return scan - timedelta(days=before)
    return scan + timedelta(days=after) if later else None


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
