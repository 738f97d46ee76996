from datetime import date

import numpy as np

CORONARY = {f"I20{k}" for k in (0, 1, 8, 9)} | {f"I21{k}" for k in (0, 1, 2, 3, 4, 9)}
CORONARY |= (
    {f"I22{k}" for k in (0, 1, 8, 9)} | {f"I24{k}" for k in (0, 8, 9)} | {f"I25{k}" for k in range(10)} - {"I257"}
)
INFARCTION = {f"I21{k}" for k in (0, 1, 2, 3, 4, 9)} | {"I252"}


def diagnoses(cells):
    """Pair codes with their dates."""
    pairs = []
    for k in range(20):
        code, day = cells[f"41270-0.{k}"], cells[f"41280-0.{k}"]
        assert (code is None) == (day is None)
        if code is not None:
            pairs.append((code, date.fromisoformat(day)))
    return pairs


def has(pairs, codes, *, until=date.max, after=date.min):
    return any(code in codes and after < day <= until for code, day in pairs)


def test_codes_before_the_scan_are_the_disease_at_the_scan(population):
    for person, _, cells in population:
        pairs = diagnoses(cells)
        assert has(pairs, CORONARY, until=person.scan) == person.cad
        assert has(pairs, INFARCTION, until=person.scan) == person.infarction


def test_codes_after_the_scan_belong_to_those_who_fall_ill_later(population):
    later = [(p, diagnoses(cells)) for p, _, cells in population if p.cad_later]
    assert len(later) > 10
    assert all(has(pairs, CORONARY, after=p.scan) for p, pairs in later)


def test_everyone_holds_unrelated_codes_of_both_sides_of_the_scan(population):
    sides = set()
    for person, _, cells in population:
        unrelated = [day for code, day in diagnoses(cells) if code not in CORONARY]
        assert unrelated
        sides |= {day > person.scan for day in unrelated}
    assert sides == {True, False}


def test_codes_stand_in_no_order_of_date(population):
    ordered = [
        sorted(days) == days for days in ([d for _, d in diagnoses(c)] for _, _, c in population) if len(days) > 2
    ]
    assert 0.02 < np.mean(ordered) < 0.5


def test_algorithmic_dates_only_with_infarction_and_some_unknown(population):
    dates = [(p.infarction, c["42000-0.0"], c["42002-0.0"], c["42004-0.0"]) for p, _, c in population]
    assert not any(any(found) for infarction, *found in dates if not infarction)
    assert 0.8 < np.mean([found[0] is not None for infarction, *found in dates if infarction]) < 0.97
    assert any(found[0] == "1900-01-01" for _, *found in dates)
    assert not any(found[1] and found[2] for _, *found in dates)


def slots(cells, column, n):
    return [cells[f"{column}.{k}"] for k in range(n)]


def test_self_report_of_infarction_is_true_but_incomplete(population):
    reported = [1 in slots(c, "6150-2", 4) for p, _, c in population if p.infarction]
    assert 0.7 < np.mean(reported) < 0.95
    assert not any(1 in slots(c, "6150-2", 4) for p, _, c in population if not p.infarction)


def test_drug_questions_depend_on_sex(population):
    for person, _, cells in population:
        women, men = slots(cells, "6153-2", 4), slots(cells, "6177-2", 3)
        assert all(value is None for value in (women if person.male else men))
        assert (men if person.male else women)[0] is not None


def test_none_of_the_above_stands_alone(population):
    for _, _, cells in population:
        for column, n in (("6150-2", 4), ("6153-2", 4), ("6177-2", 3), ("6150-0", 4)):
            values = [value for value in slots(cells, column, n) if value is not None]
            assert all(value > 0 for value in values) or len(values) == 1


def test_ages_at_diagnosis_come_with_the_diagnosis(population):
    for person, _, cells in population:
        if cells["3894-2.0"] is not None:
            assert person.infarction
            assert cells["3894-2.0"] == -1 or 20 < cells["3894-2.0"] <= person.age_years
        assert cells["3627-2.0"] is None or person.cad
