"""Simulated linked records: hospital diagnoses, algorithmic infarction dates and what participants report."""

from datetime import date, timedelta

import numpy as np

from dymo_med.data.synthetic.person import Person

__all__ = ["Cell", "record_cells"]

Cell = str | int | float | None

_MAX_DIAGNOSES = 20
_UNKNOWN_DATE = "1900-01-01"
_INFARCTION_CODES = ("I214", "I219", "I211", "I210", "I252", "I213", "I212")
_INFARCTION_WEIGHTS = (0.38, 0.27, 0.13, 0.09, 0.08, 0.03, 0.02)
_CORONARY_CODES = ("I251", "I209", "I259", "I208", "I200", "I250", "I248", "I249")
_CORONARY_WEIGHTS = (0.42, 0.22, 0.14, 0.08, 0.06, 0.04, 0.02, 0.02)
_UNRELATED_CODES = (
    "K573", "K449", "K219", "M171", "M169", "H269", "J459", "N390", "R074", "K409", "C443", "D126", "M545", "G560",
    "N40", "Z867", "R55", "S525", "L989", "I839", "I841", "I480", "I447", "F329", "E039", "Z961",
)  # fmt: skip


def record_cells(person: Person, rng: np.random.Generator) -> dict[str, Cell]:
    """Give the linked records and self-reports of a participant.

    Whoever has coronary disease at the scan holds a coronary ICD-10 code dated before it; whoever falls ill later holds
    one dated after it; everyone holds unrelated codes of either side. Self-reports are less complete than the records.

    Args:
        person: The participant.
        rng: Source of randomness.

    Returns:
        Cell per column in the classic dialect ("41270-0.0"); None for a blank.

    Example:
        >>> from dymo_med.data.synthetic.person import draw_person
        >>> rng = np.random.default_rng(0)
        >>> cells = record_cells(draw_person(rng), rng)
        >>> cells["41270-0.0"] is not None and cells["41280-0.0"] is not None
        True
    """
    infarction_date = _infarction_date(person, rng)
    cells = _diagnoses(person, infarction_date, rng)
    cells |= _algorithmic_infarction(infarction_date, rng)
    for visit, day in ((0, person.baseline), (2, person.scan)):
        cells |= _self_report(person, infarction_date, visit, day, rng)
    return cells


def _infarction_date(person: Person, rng: np.random.Generator) -> date | None:
    if not person.infarction or person.cad_date is None:
        return None
    span = (person.scan - person.cad_date).days
    return person.cad_date + timedelta(days=int(span * rng.random() ** 2))


def _diagnoses(person: Person, infarction_date: date | None, rng: np.random.Generator) -> dict[str, Cell]:
    """Fill the paired arrays 41270 (code) and 41280 (its first date), in no particular order."""
    found: dict[str, date] = {}
    if person.cad_date is not None:
        found[str(rng.choice(_CORONARY_CODES, p=_CORONARY_WEIGHTS))] = person.cad_date
    if infarction_date is not None:
        found[str(rng.choice(_INFARCTION_CODES, p=_INFARCTION_WEIGHTS))] = infarction_date
    for present, code, written in (
        (person.hypertension, "I10", 0.6),
        (person.diabetes, "E119", 0.6),
        (person.ldl_z > 0.8, "E780", 0.4),
    ):
        if present and rng.random() < written:
            found[code] = _some_day(person, rng)
    for code in rng.choice(_UNRELATED_CODES, size=1 + rng.poisson(2.5), replace=False).tolist():
        found[code] = _some_day(person, rng)
    codes = rng.permutation(list(found))[:_MAX_DIAGNOSES].tolist()
    cells: dict[str, Cell] = {f"41270-0.{k}": None for k in range(_MAX_DIAGNOSES)}
    cells |= {f"41280-0.{k}": None for k in range(_MAX_DIAGNOSES)}
    for k, code in enumerate(codes):
        cells[f"41270-0.{k}"], cells[f"41280-0.{k}"] = code, found[code].isoformat()
    return cells


def _some_day(person: Person, rng: np.random.Generator) -> date:
    """Give a day from 15 years before the scan to 4 years after it."""
    return person.scan + timedelta(days=int(rng.integers(-15 * 365, 4 * 365)))


def _algorithmic_infarction(day: date | None, rng: np.random.Generator) -> dict[str, Cell]:
    written: str | None = None
    if day is not None and rng.random() < 0.9:
        written = day.isoformat() if rng.random() > 0.03 else _UNKNOWN_DATE
    elevation = rng.choice(3, p=[0.4, 0.5, 0.1])
    return {
        "42000-0.0": written,
        "42002-0.0": written if elevation == 0 else None,
        "42004-0.0": written if elevation == 1 else None,
    }


def _self_report(
    person: Person, infarction_date: date | None, visit: int, day: date, rng: np.random.Generator
) -> dict[str, Cell]:
    """Fill the touchscreen questions on heart disease, pressure, stroke, diabetes and drugs of one visit."""
    birth = person.birth
    infarction = infarction_date is not None and infarction_date <= day and rng.random() < 0.85
    angina = person.cad_date is not None and person.cad_date <= day and rng.random() < 0.45
    stroke = rng.random() < 0.012 + 0.02 * person.cad
    pressure = person.hypertension and rng.random() < (0.85 if visit == 2 else 0.6)
    diabetes = person.diabetes and rng.random() < (0.92 if visit == 2 else 0.6)
    problems = [code for code, present in enumerate((infarction, angina, stroke, pressure), 1) if present]
    drugs = [
        code
        for code, present in enumerate((person.statin, person.bp_treated, person.insulin), 1)
        if present and (visit == 2 or rng.random() < 0.5)
    ]
    if not person.male:
        drugs += [4] if rng.random() < 0.06 else []
        drugs += [5] if rng.random() < 0.01 else []
    cells: dict[str, Cell] = {f"2443-{visit}.0": _answer(int(diabetes), rng)}
    cells |= _choices(f"6150-{visit}", 4, problems, rng)
    cells |= _choices(f"6153-{visit}", 4, None if person.male else drugs, rng)
    cells |= _choices(f"6177-{visit}", 3, drugs if person.male else None, rng)
    for field, present in ((3894, infarction), (3627, angina), (4056, stroke), (2966, pressure), (2976, diabetes)):
        years = (day - birth).days / 365.25
        known = infarction_date if field == 3894 else person.cad_date if field == 3627 else None
        onset = (known - birth).days // 365.25 if known else years * rng.uniform(0.7, 1)
        age = int(onset) if rng.random() > 0.03 else -1
        cells[f"{field}-{visit}.0"] = age if present else None
    return cells


def _answer(value: int, rng: np.random.Generator) -> int:
    """Give an answer, or -1 (does not know) or -3 (prefers not to say) now and then."""
    return int(rng.choice([value, -1, -3], p=[0.982, 0.012, 0.006]))


def _choices(column: str, slots: int, ticked: list[int] | None, rng: np.random.Generator) -> dict[str, Cell]:
    """Spread ticked options over array slots; -7 stands for none of them, blank throughout for not asked."""
    values: list[int] = []
    if ticked is not None:
        values = (sorted(ticked) or [-7])[:slots]
        if rng.random() < 0.006:
            values = [-3]
    return {f"{column}.{k}": values[k] if k < len(values) else None for k in range(slots)}
