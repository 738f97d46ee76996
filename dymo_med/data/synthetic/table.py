"""Simulated answers and measurements of the imaging visit, as cells of a UK Biobank table.

Source: field numbers, codings and arrays of the public UK Biobank showcase.
"""

import math
from collections.abc import Callable

import numpy as np

from dymo_med.data.synthetic.heart import Heart
from dymo_med.data.synthetic.person import Person
from dymo_med.data.synthetic.records import Cell, record_cells

__all__ = ["table_row"]

_SPECIAL_ANSWER_RATE = 0.012  # each of "do not know" (-1) and "prefer not to answer" (-3)
_SINGLE_GAP_RATE = 0.015


def table_row(person: Person, heart: Heart, rng: np.random.Generator, *, gap_scale: float = 1.0) -> dict[str, Cell]:
    """Give every cell of one participant.

    Gaps come in groups, as devices and questionnaires are skipped as a whole, and in single cells.

    Args:
        person: The participant.
        heart: Anatomy that the derived columns measure, with error.
        rng: Source of randomness.
        gap_scale: Factor on the chance of every gap; 0 for none beyond skipped questions.

    Returns:
        Cell per column in the classic dialect ("4080-2.1"), without ``eid``; None for a blank. Every participant gets
        the same columns in the same order.

    Example:
        >>> from dymo_med.data.synthetic.heart import draw_heart
        >>> from dymo_med.data.synthetic.person import draw_person
        >>> rng = np.random.default_rng(0)
        >>> person = draw_person(rng)
        >>> table_row(person, draw_heart(person, rng), rng)["31-0.0"] == int(person.male)
        True
    """
    row = _identity(person, rng) | record_cells(person, rng)
    # chance that a whole group was not taken
    groups: tuple[tuple[float, Callable[[], dict[str, Cell]]], ...] = (
        (0.03, lambda: _questionnaire(person, rng)),
        (0.02, lambda: _smoking(person, rng)),
        (0.03, lambda: _activity(person, rng)),
        (0.02, lambda: _body(person, rng)),
        (0.05, lambda: _impedance(person, rng)),
        (0.04, lambda: _blood_pressure(person, rng)),
        (0.16, lambda: _finger_probe(person, rng)),
        (0.09, lambda: _ecg(person, rng)),
        (0.22, lambda: _arm_cuff_waveform(person, heart, rng)),
        (0.20, lambda: _scanner_analysis(person, heart, rng)),
        (0.35, lambda: _ventricles(person, heart, rng)),
    )
    for chance, measure in groups:
        cells = measure()
        skipped = rng.random() < chance * gap_scale
        single = rng.random(len(cells)) < _SINGLE_GAP_RATE * gap_scale
        row |= {name: None if skipped or gap else cells[name] for name, gap in zip(cells, single, strict=True)}
    return row


def _identity(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    ethnicity = int(
        rng.choice([1001, 1002, 1003, 3001, 4001, 5, 6, -3], p=[0.88, 0.03, 0.04, 0.02, 0.01, 0.01, 0.005, 0.005])
    )
    return {
        "31-0.0": int(person.male),
        "34-0.0": person.birth.year,
        "52-0.0": person.birth.month,
        "53-0.0": person.baseline.isoformat(),
        "53-2.0": person.scan.isoformat(),
        "54-2.0": int(rng.choice([11025, 11026, 11027, 11028])),
        "189-0.0": round(float(rng.normal(-2, 2.7)), 5),
        "190-0.0": None,
        "191-0.0": None,
        "738-0.0": int(rng.choice([1, 2, 3, 4, 5, -1, -3])),
        "21000-0.0": ethnicity,
        "21003-0.0": int((person.baseline - person.birth).days / 365.25),
        "21003-2.0": int(person.age_years),
    }


def _questionnaire(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    ill = 0.6 * person.cad + 0.6 * person.diabetes + 0.5 * person.symptoms - 0.5 * person.fitness_z
    drinker = int(rng.choice(3, p=[0.04, 0.04, 0.92]))
    frequency = int(rng.choice(5, p=[0.18, 0.27, 0.27, 0.14, 0.14])) + 1 if drinker == 2 else 6
    return {
        "4717-2.0": _asked(int(person.symptoms), rng),
        "2188-2.0": _asked(int(ill + rng.normal(0, 0.8) > 0.6), rng),
        "1200-2.0": _asked(_level((-0.6, 0.7), 0.2 * ill, rng), rng),
        "1558-2.0": _asked(frequency, rng, codes=(-3,)),
        "2178-2.0": _asked(_level((-0.9, 0.8, 2.0), 0.5 * ill, rng), rng),
        "20117-2.0": _asked(drinker, rng, codes=(-3,)),
        "2296-2.0": _asked(_level((0.9, 1.8), 0.15 * ill, rng), rng, codes=(-3,)),
        "1160-2.0": _asked(int(np.clip(round(rng.normal(7.1, 1.0)), 3, 12)), rng),
    }


def _smoking(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    daily = person.smoking == 2 and rng.random() < 0.7
    current = 0 if person.smoking != 2 else 1 if daily else 2
    past = int(rng.choice([1, 2, 3])) if person.smoking == 1 else int(rng.choice([3, 4])) if person.smoking == 0 else 1
    exposure = 0.15 if person.smoking else 0.05
    return {
        "1239-2.0": _asked(current, rng, codes=(-3,)),
        "1249-2.0": None if daily else _asked(past, rng, codes=(-3,)),
        "20116-2.0": _asked(person.smoking, rng, codes=(-3,)),
        "20160-2.0": int(person.smoking > 0),
        "1269-2.0": None if daily else _asked(int(rng.integers(1, 30)) if rng.random() < exposure else 0, rng),
        "1279-2.0": None if daily else _asked(int(rng.integers(1, 12)) if rng.random() < exposure else 0, rng),
    }


def _activity(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    """Fill days per week and minutes per day; minutes are asked only where days are above zero."""
    fitness = person.fitness_z - 0.3 * person.symptoms - 0.2 * person.cad
    cells: dict[str, Cell] = {}
    for days_field, minutes_field, days_mean, minutes_median in (
        (864, 874, 5.2, 50),
        (884, 894, 3.4, 45),
        (904, 914, 1.7, 40),
    ):
        days = int(np.clip(round(rng.normal(days_mean + 0.5 * fitness, 1.8)), 0, 7))
        answer = _asked(days, rng, codes=(-1, -2, -3) if days_field == 864 else (-1, -3))
        minutes = int(5 * max(2, round(minutes_median * math.exp(rng.normal(0.1 * fitness, 0.6)) / 5)))
        cells[f"{days_field}-2.0"] = answer
        cells[f"{minutes_field}-2.0"] = _asked(minutes, rng) if answer > 0 else None
    pace = int(np.clip(1 + (rng.normal(fitness, 0.8) > -1.3) + (rng.normal(fitness, 0.8) > 0.1), 1, 3))
    strenuous = rng.normal(fitness, 1) > 1.0
    cells["924-2.0"] = _asked(pace, rng, codes=(-7, -3))
    cells["6164-2.0"] = 3 if strenuous else 1
    cells["1001-2.0"] = _asked(int(rng.integers(1, 8)), rng) if strenuous else None
    return cells


def _body(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    waist = (95 if person.male else 86) + 2.2 * (person.bmi - 26.6) + rng.normal(0, 4.5)
    return {
        "50-2.0": round(person.height_cm, 1),
        "21002-2.0": round(person.weight_kg, 1),
        "21001-2.0": round(person.bmi, 4),
        "48-2.0": round(float(waist), 1),
        "49-2.0": round(float(102 + 1.9 * (person.bmi - 26.6) + rng.normal(0, 3.5)), 1),
        "46-2.0": round(float(rng.normal(38 if person.male else 23, 7))),
    }


def _impedance(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    fat = (25 if person.male else 36) + 1.1 * (person.bmi - 26.6) + rng.normal(0, 2.5)
    fat = float(np.clip(fat, 5, 60))
    lean_kg = person.weight_kg * (1 - fat / 100)
    return {
        "23099-2.0": round(fat, 1),
        "23100-2.0": round(person.weight_kg * fat / 100, 1),
        "23104-2.0": round(person.bmi + float(rng.normal(0, 0.2)), 1),
        "23105-2.0": round(4.184 * (370 + 21.6 * lean_kg)),
    }


def _blood_pressure(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    manual = rng.random() < 0.03  # the automatic device failed and a nurse measured instead
    once = rng.random() < 0.04
    for reading in (0, 1):
        values = (
            person.sbp_mmhg + rng.normal(2 - 3 * reading, 5),
            person.dbp_mmhg + rng.normal(0, 3.5),
            person.heart_rate_bpm + rng.normal(1, 3),
        )
        absent = once and reading == 1
        for automatic, by_hand, value in zip((4080, 4079, 102), (93, 94, 95), values, strict=True):
            shown = None if absent else round(float(value))
            cells[f"{automatic}-2.{reading}"] = None if manual else shown
            cells[f"{by_hand}-2.{reading}"] = shown if manual else None
    return cells


def _finger_probe(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    stiffness = 9.4 + 0.06 * (person.age_years - 64) + 0.02 * (person.sbp_mmhg - 130) + rng.normal(0, 2.4)
    return {"21021-2.0": round(float(np.clip(stiffness, 3, 25)), 3)}


def _ecg(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    qrs = 88 + 8 * person.male + 4 * person.infarction + rng.normal(0, 10)
    return {
        "12336-2.0": round(float(np.clip(person.heart_rate_bpm + rng.normal(0, 3), 38, 130))),
        "12338-2.0": 2 * round(float(rng.normal(51, 6))),
        "12340-2.0": 2 * round(float(qrs) / 2),
    }


def _arm_cuff_waveform(person: Person, heart: Heart, rng: np.random.Generator) -> dict[str, Cell]:
    """Fill pulse wave analysis of the arm cuff; its flow follows the heart only loosely."""
    systolic, diastolic = person.sbp_mmhg + rng.normal(3, 7), person.dbp_mmhg + rng.normal(-4, 5)
    rate = person.heart_rate_bpm + rng.normal(0, 4)
    augmentation = float(np.clip(10 + 0.25 * (person.age_years - 64) - 3 * person.male + rng.normal(0, 4), 0, 40))
    central = systolic - 9 + 0.3 * augmentation + rng.normal(0, 2)
    stroke = 0.35 * (heart.edv_ml - heart.esv_ml) + 55 + 0.15 * (systolic - diastolic - 55) + rng.normal(0, 13)
    output = stroke * rate / 1000
    mean_pressure = diastolic + 0.4 * (systolic - diastolic)
    end_systolic = 0.9 * central + rng.normal(0, 2)
    values = {
        12673: round(rate),
        12674: round(systolic),
        12675: round(diastolic),
        12676: round(systolic - diastolic),
        12677: round(central),
        12678: round(central - diastolic),
        12679: int(rng.integers(6, 12)),
        12680: round(augmentation),
        12681: round(100 * augmentation / max(20.0, central - diastolic)),
        12682: round(float(output), 1),
        12683: round(float(end_systolic)),
        12684: round(float(end_systolic + rng.normal(0, 3))),
        12685: round(float(mean_pressure / output / 60), 2),
        12686: round(float(stroke)),
        12702: round(float(output / person.body_surface_m2), 1),
    }
    return {f"{field}-2.0": value for field, value in values.items()}


def _scanner_analysis(person: Person, heart: Heart, rng: np.random.Generator) -> dict[str, Cell]:
    """Fill the scanner's automatic analysis: biased, noisy, and grossly wrong now and then."""
    rate = person.heart_rate_bpm + rng.normal(0, 2)
    stroke = (heart.edv_ml - heart.esv_ml) * math.exp(rng.normal(-0.05, 0.15))
    fraction = heart.ef_percent + rng.normal(-2, 6)
    if rng.random() < 0.04:
        stroke, fraction = stroke * rng.uniform(0.2, 1.8), rng.uniform(10, 85)
    output = stroke * rate / 1000
    return {
        "22420-2.0": round(float(fraction), 2),
        "22424-2.0": round(float(output), 3),
        "22425-2.0": round(float(output / person.body_surface_m2), 3),
        "22426-2.0": round(float(rate), 2),
        "22427-2.0": round(person.body_surface_m2, 4),
    }


def _ventricles(person: Person, heart: Heart, rng: np.random.Generator) -> dict[str, Cell]:
    """Fill volumes from automatic contours (24100 to 24109), with the error of such contours."""
    edv, esv = heart.edv_ml * math.exp(rng.normal(0, 0.06)), heart.esv_ml * math.exp(rng.normal(0.03, 0.12))
    right_edv, right_esv = (
        heart.rv_edv_ml * math.exp(rng.normal(0, 0.08)),
        heart.rv_esv_ml * math.exp(rng.normal(0, 0.12)),
    )
    values = {
        24100: edv,
        24101: esv,
        24102: edv - esv,
        24103: 100 * (1 - esv / edv),
        24104: (edv - esv) * person.heart_rate_bpm / 1000,
        24105: heart.mass_g * math.exp(rng.normal(0, 0.07)),
        24106: right_edv,
        24107: right_esv,
        24108: right_edv - right_esv,
        24109: 100 * (1 - right_esv / right_edv),
    }
    return {f"{field}-2.0": round(float(value), 3) for field, value in values.items()}


def _asked(value: int, rng: np.random.Generator, *, codes: tuple[int, ...] = (-1, -3)) -> int:
    """Give an answer, or one of the special codes of its coding now and then."""
    drawn = rng.random()
    return codes[int(drawn / _SPECIAL_ANSWER_RATE)] if drawn < _SPECIAL_ANSWER_RATE * len(codes) else value


def _level(borders: tuple[float, ...], shift: float, rng: np.random.Generator) -> int:
    """Give an ordered answer from 1: how many borders a normal value with mean ``shift`` passes, plus one."""
    return 1 + int(np.searchsorted(borders, rng.normal(shift, 1)))
