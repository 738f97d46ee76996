import numpy as np
import pandas as pd
import pytest

from dymo_med.evaluation.figures import figures_of_merit
from dymo_med.evaluation.subgroups import AGE_BANDS_YEARS, BMI_BANDS_KG_PER_M2, group_subjects, subgroup_figures

N = 200


@pytest.fixture
def subjects():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "sex": np.where(np.arange(N) % 2, "female", "male"),
            "age_years": rng.uniform(45, 80, N),
            "bmi": rng.normal(27, 4, N),
            "site": ["north"] * 100 + ["south"] * 97 + ["west"] * 3,
        },
        index=[f"s{number:03d}" for number in range(N)],
    )


@pytest.fixture
def predictions(subjects):
    rng = np.random.default_rng(1)
    label = (rng.random(N) < 0.4).astype(int)
    risk = 1 / (1 + np.exp(-(label + rng.normal(size=N))))
    table = pd.DataFrame({"subject_id": subjects.index, "label": label, "probability": risk})
    return table.sample(frac=1, random_state=0)  # any order


def test_bands_hold_their_lower_bound():
    ages = pd.DataFrame({"age": [49.9, 50.0, 69.9, 70.0, np.nan]}, index=list("abcde"))
    groups = group_subjects(ages, bands={"age": AGE_BANDS_YEARS})["age"].tolist()
    assert groups == ["below 50", "50 to below 60", "60 to below 70", "70 and above", "not known"]
    bmi = pd.DataFrame({"bmi": [18.4, 18.5, 25.0, 30.0]}, index=list("abcd"))
    groups = group_subjects(bmi, bands={"bmi": BMI_BANDS_KG_PER_M2})["bmi"].tolist()
    assert groups == ["below 18.5", "18.5 to below 25", "25 to below 30", "30 and above"]


def test_absent_columns_are_left_out(subjects):
    groups = group_subjects(subjects, columns=["sex", "center"], bands={"height": (1.5,)})
    assert groups.columns.tolist() == ["sex"]
    assert groups.index.equals(subjects.index)


def test_bounds_must_rise(subjects):
    with pytest.raises(ValueError, match=r"must rise, however: \[60, 50\] for 'age_years'"):
        group_subjects(subjects, bands={"age_years": (60, 50)})


def test_figures_are_those_of_the_members(subjects, predictions):
    groups = group_subjects(subjects, columns=["sex"])
    table = subgroup_figures(predictions, groups, n_resamples=30)
    for sex in ("female", "male"):
        inside = predictions[predictions["subject_id"].isin(subjects.index[subjects["sex"] == sex])]
        expected = figures_of_merit(inside["label"], inside["probability"], n_resamples=30)
        found = table[table["group"] == sex].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[expected.columns], expected.astype({"n": float, "n_positive": float}))


def test_small_groups_are_suppressed_with_the_one_that_would_reveal_them(subjects, predictions):
    table = subgroup_figures(predictions, group_subjects(subjects, columns=["site"]), n_resamples=10)
    shown = table.groupby("group")["n"].first()
    assert shown["north"] == 100
    assert shown[["south", "west"]].isna().all()
    hidden = table[table["group"] != "north"]
    assert hidden[["value", "low", "high", "n", "n_positive"]].isna().all().all()
    assert hidden["reason"].str.startswith("suppressed: fewer than 10 subjects of a class").all()
    with_limit_two = subgroup_figures(predictions, group_subjects(subjects, columns=["site"]), min_count=1)
    three = with_limit_two[with_limit_two["group"] == "west"]
    assert three["value"].isna().all()
    assert three["reason"].str.contains("suppressed|not estimable").all()


def test_subjects_without_a_group_are_not_known(subjects, predictions):
    groups = group_subjects(subjects.iloc[:120], columns=["sex"])
    table = subgroup_figures(predictions, groups, n_resamples=10)
    assert table[table["group"] == "not known"]["n"].iloc[0] == 80


def test_a_single_group_is_suppressed_alone(subjects, predictions):
    groups = pd.DataFrame({"all": "everybody"}, index=subjects.index)
    table = subgroup_figures(predictions, groups, min_count=150)
    assert table["n"].isna().all()


def test_refusals(subjects, predictions):
    groups = group_subjects(subjects, columns=["sex"])
    with pytest.raises(ValueError, match="a subject may occur once, however: 1 rows repeat one"):
        subgroup_figures(pd.concat([predictions, predictions.iloc[:1]]), groups)
    with pytest.raises(KeyError, match="'label'] are absent"):
        subgroup_figures(predictions.drop(columns="label"), groups)
    with pytest.raises(ValueError, match="empty cells, however: 200 in label"):
        subgroup_figures(predictions.assign(label=np.nan), groups)
    with pytest.raises(ValueError, match="min_count must be a positive integer, however: min_count=0"):
        subgroup_figures(predictions, groups, min_count=0)
