"""Raw cells: missing, implausible, unreadable."""

import numpy as np
import pandas as pd
import pytest

from dymo_med.tabular import Column, clean_table
from dymo_med.utils import SubjectError

AGE = Column(name="age_years", kind="continuous", low=18, high=110)
SMOKING = Column(name="smoking", kind="categorical", categories=("never", "past", "now"))
COLUMNS = (AGE, SMOKING)


def table(ages, smoking):
    index = [f"S{at}" for at in range(len(ages))]
    return pd.DataFrame({"smoking": smoking, "age_years": ages}, index=index)


def test_every_form_of_nothing_is_missing():
    clean = clean_table(table([None, np.nan, "", 40], ["", None, np.nan, "past"]), COLUMNS)
    assert clean.frame.isna().to_numpy().tolist() == [[True, True]] * 3 + [[False, False]]
    assert not clean.problems
    assert list(clean.frame.columns) == ["age_years", "smoking"]


@pytest.mark.parametrize("missing", [pd.NA, None, np.nan])
def test_nullable_dtypes_are_read(missing):
    raw = table(pd.array([40, missing], dtype="Int64"), pd.array(["now", missing], dtype="string"))
    clean = clean_table(raw, COLUMNS)
    assert clean.frame.loc["S0"].tolist() == [40.0, "now"]
    assert clean.frame.loc["S1"].isna().all()


def test_bounds_are_inclusive_and_what_lies_outside_is_counted():
    clean = clean_table(table([18, 110, 17.9, 111], ["now"] * 4), COLUMNS)
    assert clean.frame["age_years"].isna().tolist() == [False, False, True, True]
    assert clean.out_of_range == {"age_years": 2}


def test_out_of_range_of_a_refused_row_is_not_counted():
    clean = clean_table(table([17.0, 40.0], ["sometimes", "now"]), COLUMNS)
    assert clean.out_of_range == {}
    assert clean.frame.index.tolist() == ["S1"]


@pytest.mark.parametrize("value", ["forty", "4,5", "inf", np.inf, "nan", True, pd.Timestamp("2020-01-01")])
def test_what_is_no_number_costs_its_row_only(value):
    clean = clean_table(table([value, 40], ["now", "now"]).astype({"age_years": object}), COLUMNS)
    assert clean.frame.index.tolist() == ["S1"]
    assert isinstance(clean.problems["S0"], SubjectError)
    assert "is no finite number in table column 'age_years': write a number" in str(clean.problems["S0"])


def test_a_column_of_dates_or_booleans_is_no_column_of_numbers():
    dates = pd.to_datetime(pd.Series(["2020-01-01", "2020-01-02"])).to_numpy()
    assert len(clean_table(table(dates, ["now", "now"]), COLUMNS).problems) == 2
    assert len(clean_table(table([True, False], ["now", "now"]), COLUMNS).problems) == 2


def test_unknown_category_names_the_known_ones_and_is_cut_short():
    clean = clean_table(table([40, 41], ["y" * 100, "now"]), COLUMNS)
    text = str(clean.problems["S0"])
    assert "use one of 'never', 'past', 'now' or leave the cell empty" in text
    assert "y" * 40 in text
    assert "y" * 41 not in text


def test_the_first_fault_of_a_row_is_reported():
    clean = clean_table(table(["old"], ["yes"]), COLUMNS)
    assert "age_years" in str(clean.problems["S0"])


def test_integer_subject_ids_become_text():
    clean = clean_table(table(["old", 40], ["now", "now"]).set_axis([1, 2]), COLUMNS)
    assert list(clean.problems) == ["1"]
    assert clean.frame.index.tolist() == ["2"]


def test_absent_and_unknown_columns_are_named_with_a_suggestion():
    raw = table([40], ["now"]).rename(columns={"age_years": "age_year"})
    raw["shoe_size"] = 1
    with pytest.raises(ValueError, match=r"absent: \['age_years'\]; unknown: 'age_year' \(do you mean 'age_years'\?\)"):
        clean_table(raw, COLUMNS)
    with pytest.raises(ValueError, match="'shoe_size': rename or drop unknown columns"):
        clean_table(raw, COLUMNS)


def test_repeated_columns_and_subjects_are_refused():
    raw = table([40, 41], ["now", "now"])
    with pytest.raises(
        ValueError, match=r"every column must be there once, however: twice in the table: \['smoking'\]"
    ):
        clean_table(raw[["age_years", "smoking", "smoking"]], COLUMNS)
    with pytest.raises(ValueError, match="2 of 2 rows share a subject_id"):
        clean_table(raw.set_axis(["S0", "S0"]), COLUMNS)


def test_equals_a_cell_by_cell_reading():
    generator = np.random.default_rng(0)
    ages = generator.choice(np.array([20, "30.5", "", None, 5, 200, "x"], dtype=object), 300)
    smoking = generator.choice(np.array(["never", "now", "", None, "?"], dtype=object), 300)
    clean = clean_table(table(ages, smoking), COLUMNS)
    for at, (age, smokes) in enumerate(zip(ages, smoking, strict=True)):
        subject = f"S{at}"
        if age == "x" or smokes == "?":
            assert subject in clean.problems
            continue
        number = None if age in ("", None) or not 18 <= float(age) <= 110 else float(age)
        got = clean.frame.loc[subject]
        assert pd.isna(got["age_years"]) if number is None else got["age_years"] == number
        assert pd.isna(got["smoking"]) if smokes in ("", None) else got["smoking"] == smokes
