import numpy as np
import pytest

from dymo_med.data.synthetic.person import draw_person


def rate(people, trait, group=None):
    return np.mean([trait(person) for person, *_ in people if group is None or group(person)])


def test_prevalence_is_the_documented_one(population):
    assert 0.25 < rate(population, lambda p: p.cad) < 0.32
    assert 0.10 < rate(population, lambda p: p.infarction) < 0.15


def test_prevalence_follows_the_boost():
    rare = [draw_person(np.random.default_rng(k), prevalence_boost=1.0).cad for k in range(2000)]
    assert 0.04 < np.mean(rare) < 0.11


@pytest.mark.parametrize(
    "trait",
    [lambda p: p.male, lambda p: p.smoking == 2, lambda p: p.usual_sbp_mmhg > 140, lambda p: p.age_years > 65],
    ids=["male", "smoker", "pressure", "age"],
)
def test_risk_factors_raise_coronary_disease(population, trait):
    exposed = rate(population, lambda p: p.cad, trait)
    spared = rate(population, lambda p: p.cad, lambda p: not trait(p))
    assert exposed > spared + 0.05


def test_disease_states_agree_with_each_other(population):
    for person, *_ in population:
        assert person.cad or not person.infarction
        assert not (person.cad and person.cad_later)
        assert (person.cad_date is not None) == (person.cad or person.cad_later)
        assert person.cad_date is None or (person.cad_date < person.scan) == person.cad
        assert person.hypertension or not person.bp_treated
        assert person.baseline < person.scan


def test_treatment_lowers_pressure(population):
    drop = [p.usual_sbp_mmhg - p.sbp_mmhg for p, *_ in population if p.hypertension and p.bp_treated and not p.cad]
    none = [p.usual_sbp_mmhg - p.sbp_mmhg for p, *_ in population if p.hypertension and not p.bp_treated and not p.cad]
    assert np.mean(drop) > np.mean(none) + 12


def test_body_surface_follows_mosteller(population):
    person = population[0][0]
    expected = (person.height_cm * person.bmi * (person.height_cm / 100) ** 2 / 3600) ** 0.5
    assert person.body_surface_m2 == pytest.approx(expected)


@pytest.mark.parametrize(
    ("boost", "text"),
    [(0.0, "must be positive and finite, however: prevalence_boost=0.0"), (12.0, "must be at most 11.4.*asks for 84%")],
)
def test_boost_out_of_range_is_refused(boost, text):
    with pytest.raises(ValueError, match=text):
        draw_person(np.random.default_rng(0), prevalence_boost=boost)
