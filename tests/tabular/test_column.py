"""What a column refuses."""

import pytest

from dymo_med.tabular import Column


def test_title_defaults_to_name_and_numbers_become_float():
    column = Column(name="age_years", kind="continuous", low=0, high=120, mean=60, std=8)
    assert column.title == "age_years"
    assert column.statistics == (60.0, 8.0)
    assert isinstance(column.low, float)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"kind": "ordinal"}, ValueError, r"kind must be 'categorical' or 'continuous', however: kind='ordinal'"),
        ({"name": ""}, ValueError, r"name must be text without blanks around it, however: name=''"),
        ({"name": " age"}, ValueError, r"however: name=' age'"),
        ({"unit": 3}, TypeError, r"unit must be text, however: unit=3 in column 'age'"),
        ({"low": "0"}, TypeError, r"low must be a number or None, however: low='0' in column 'age'"),
        ({"high": True}, TypeError, r"high must be a number or None, however: high=True"),
        ({"low": float("nan")}, ValueError, r"low must be finite, however: low=nan"),
        ({"low": 5, "high": 5}, ValueError, r"low must be below high, however: low=5.0, high=5.0 in column 'age'"),
        ({"mean": 5}, ValueError, r"mean and std come together, however: mean=5.0, std=None"),
        ({"mean": 5, "std": 0}, ValueError, r"std must be positive, however: std=0.0"),
        ({"categories": ("a",)}, ValueError, r"continuous column has no categories, however: categories=\('a',\)"),
        ({"kind": "categorical"}, ValueError, r"every level once and at least one, however: categories=\(\)"),
        ({"kind": "categorical", "categories": ("a", "a")}, ValueError, r"however: categories=\('a', 'a'\)"),
        ({"kind": "categorical", "categories": ["a"]}, TypeError, r"must be a tuple of non-empty texts, .*\['a'\]"),
        ({"kind": "categorical", "categories": ("",)}, TypeError, r"must be a tuple of non-empty texts"),
        (
            {"kind": "categorical", "categories": ("a",), "low": 1},
            ValueError,
            r"a categorical column has no numbers, however: \{'low': 1.0\}",
        ),
    ],
)
def test_contradictions_are_refused(fields, error, message):
    with pytest.raises(error, match=message):
        Column(**{"name": "age", "kind": "continuous", **fields})


def test_statistics_of_an_unfitted_column_are_refused():
    with pytest.raises(ValueError, match="mean and std must be known, however: none in continuous column 'age'"):
        _ = Column(name="age", kind="continuous").statistics
