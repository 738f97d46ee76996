"""Rows to network input and back."""

import time

import numpy as np
import pandas as pd
import pytest

from dymo_med.tabular import Column, TabularSchema, decode_table, encode_rows, encode_table
from dymo_med.utils import SubjectError

SCHEMA = TabularSchema(
    (
        Column(name="smoking", kind="categorical", categories=("never", "past", "now")),
        Column(name="sex", kind="categorical", categories=("female", "male")),
        Column(name="age_years", kind="continuous", low=18, high=110, mean=60.0, std=8.0),
        Column(name="weight_kg", kind="continuous", mean=75.0, std=12.5),
    )
)


def raw_table(n=200, seed=0):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "weight_kg": generator.normal(75, 12, n),
            "smoking": generator.choice(["never", "past", "now"], n),
            "age_years": generator.uniform(10, 115, n),
            "sex": generator.choice(["female", "male"], n),
        },
        index=[f"S{at:03d}" for at in range(n)],
    )
    return frame.mask(generator.random(frame.shape) < 0.2)


def test_equals_a_cell_by_cell_encoding():
    frame = raw_table()
    encoded = encode_table(frame, SCHEMA)
    assert encoded.values.dtype == np.float32
    assert encoded.missing.dtype == np.bool_
    assert encoded.subject_ids == tuple(frame.index)
    n_outside = 0
    for row, subject in enumerate(frame.index):
        for at, column in enumerate(SCHEMA.columns):
            cell = frame.loc[subject, column.name]
            outside = column.low is not None and not pd.isna(cell) and not column.low <= cell <= column.high
            n_outside += outside
            if pd.isna(cell) or outside:
                expected, missing = 0.0, True
            elif column.kind == "categorical":
                expected, missing = column.categories.index(cell), False
            else:
                expected, missing = (cell - column.mean) / column.std, False
            assert encoded.values[row, at] == pytest.approx(expected, abs=1e-6)
            assert encoded.missing[row, at] == missing
    assert encoded.out_of_range == {"age_years": n_outside}
    assert n_outside > 0


def test_round_trip_through_decoding():
    frame = raw_table()
    frame["age_years"] = frame["age_years"].where(frame["age_years"].between(18, 110))
    encoded = encode_table(frame, SCHEMA)
    decoded = decode_table(encoded.values, SCHEMA, missing=encoded.missing)
    expected = frame[SCHEMA.names].reset_index(drop=True)
    for name in ("smoking", "sex"):
        assert decoded[name].isna().equals(expected[name].isna())
        assert decoded[name].dropna().tolist() == expected[name].dropna().tolist()
    for name in ("age_years", "weight_kg"):
        np.testing.assert_allclose(decoded[name], expected[name], rtol=1e-5)
    again = encode_table(decoded, SCHEMA)
    np.testing.assert_allclose(again.values, encoded.values, atol=1e-5)
    assert (again.missing == encoded.missing).all()


def test_column_order_of_the_file_does_not_matter():
    frame = raw_table()
    np.testing.assert_array_equal(
        encode_table(frame, SCHEMA).values, encode_table(frame[sorted(frame.columns)], SCHEMA).values
    )


def test_a_bad_row_costs_that_subject_only():
    frame = raw_table(4).astype(object)
    frame.loc["S001", "sex"] = "robot"
    frame.loc["S002", "weight_kg"] = "heavy"
    encoded, problems = encode_rows(frame, SCHEMA)
    assert encoded.subject_ids == ("S000", "S003")
    assert encoded.values.shape == (2, 4)
    assert {subject: type(problem) for subject, problem in problems.items()} == {
        "S001": SubjectError,
        "S002": SubjectError,
    }
    with pytest.raises(SubjectError, match="unknown category 'robot' in table column 'sex'"):
        encode_table(frame, SCHEMA)


def test_whole_table_faults_are_no_subject_errors():
    with pytest.raises(ValueError, match=r"absent: \['sex'\]") as caught:
        encode_rows(raw_table().drop(columns="sex"), SCHEMA)
    assert not isinstance(caught.value, SubjectError)


def test_an_empty_table_has_no_rows():
    encoded = encode_table(raw_table(0), SCHEMA)
    assert encoded.values.shape == (0, 4)


@pytest.mark.parametrize(("index", "shown"), [(1.5, "1.5"), (3.0, "3.0"), (-1.0, "-1.0")])
def test_decoding_refuses_what_is_no_category(index, shown):
    with pytest.raises(ValueError, match=f"whole number from 0 to 2 in column 'smoking', however: {shown}"):
        decode_table([[index, 0, 0, 0]], SCHEMA)


def test_decoding_refuses_wrong_shapes_and_masks():
    with pytest.raises(ValueError, match=r"values must have shape \(N, 4\), however: values.shape=\(1, 3\)"):
        decode_table([[0, 0, 0]], SCHEMA)
    with pytest.raises(TypeError, match=r"missing must be boolean with True = absent, however: missing.dtype=float64"):
        decode_table([[0, 0, 0, 0]], SCHEMA, missing=[[0.0, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"shape of values \(1, 4\), however: missing.shape=\(1, 3\)"):
        decode_table([[0, 0, 0, 0]], SCHEMA, missing=[[False, False, False]])


def test_decoding_leaves_its_input_alone():
    values = np.array([[0.0, 1.0, 2.0, 3.0]])
    decoded = decode_table(values, SCHEMA, missing=np.array([[True, False, True, False]]))
    assert values.tolist() == [[0.0, 1.0, 2.0, 3.0]]
    assert pd.isna(decoded["smoking"][0])
    assert decoded["sex"][0] == "male"
    assert pd.isna(decoded["age_years"][0])
    assert decoded["weight_kg"][0] == pytest.approx(75 + 3 * 12.5)


def test_many_rows_are_encoded_at_once():
    frame = raw_table(20_000)
    start = time.process_time()
    encode_table(frame, SCHEMA)
    assert time.process_time() - start < 2.0
