"""Fitting, order, digest and files of a schema."""

import json
import statistics
from dataclasses import replace

import pandas as pd
import pytest

from dymo_med.tabular import Column, TabularSchema

AGE = Column(name="age_years", kind="continuous", unit="years", low=0, high=120)
WEIGHT = Column(name="weight_kg", kind="continuous", unit="kg")
SEX = Column(name="sex", kind="categorical", categories=("female", "male"))
SMOKING = Column(name="smoking", kind="categorical", categories=("never", "past", "now"))
COLUMNS = (AGE, SEX, WEIGHT, SMOKING)


def training():
    return pd.DataFrame(
        {
            "age_years": [50.0, 61.0, 72.5, 999.0],
            "weight_kg": [80.0, None, 60.0, 71.0],
            "sex": ["female"] * 4,
            "smoking": ["never", "now", None, "past"],
        },
        index=["a", "b", "c", "d"],
    )


def fitted():
    return TabularSchema.fit(training(), COLUMNS)


def test_categorical_columns_come_first_in_the_given_order():
    schema = fitted()
    assert schema.names == ["sex", "smoking", "age_years", "weight_kg"]
    assert schema.cat_cardinalities == [2, 3]
    assert schema.categorical_offsets == [0, 2]
    assert (schema.n_num_features, schema.n_columns) == (2, 4)


def test_a_schema_of_numbers_has_no_offsets():
    schema = TabularSchema.fit(training()[["age_years"]], [AGE])
    assert schema.categorical_offsets == []
    assert schema.cat_cardinalities == []


def test_statistics_are_those_of_observed_plausible_training_values():
    age, weight = fitted().columns[2:]
    assert age.mean == pytest.approx(statistics.mean([50.0, 61.0, 72.5]))
    assert age.std == pytest.approx(statistics.stdev([50.0, 61.0, 72.5]))
    assert weight.statistics == pytest.approx((statistics.mean([80, 60, 71]), statistics.stdev([80, 60, 71])))


def test_a_categorical_column_may_be_constant_in_training():
    assert fitted().columns[0].categories == ("female", "male")


def test_constant_and_empty_columns_are_named():
    frame = training().assign(weight_kg=70.0, smoking=None)
    with pytest.raises(
        ValueError, match=r"4 training rows, however: no value in \['smoking'\], one value only in \['weight_kg'\]"
    ):
        TabularSchema.fit(frame, COLUMNS)


def test_an_unreadable_training_cell_is_refused():
    with pytest.raises(ValueError, match="unknown category 'often' in table column 'smoking'"):
        TabularSchema.fit(training().assign(smoking="often"), COLUMNS)


def test_refused_sets_of_columns():
    with pytest.raises(ValueError, match=r"however: 0 columns, repeated \[\]"):
        TabularSchema(())
    with pytest.raises(ValueError, match=r"however: 2 columns, repeated \['sex'\]"):
        TabularSchema((SEX, SEX))
    with pytest.raises(ValueError, match=r"need mean and std, however: none in \['age_years'\]"):
        TabularSchema((SEX, AGE))


def test_digest_depends_on_content_and_order_only():
    schema = fitted()
    assert schema.digest == fitted().digest == TabularSchema(tuple(schema.columns)).digest
    assert len(schema.digest) == 64
    assert TabularSchema(schema.columns[1::-1] + schema.columns[2:]).digest != schema.digest
    assert TabularSchema((*schema.columns[:3], replace(schema.columns[3], mean=1.0))).digest != schema.digest


def test_file_round_trip(tmp_path):
    schema = fitted()
    schema.to_json(tmp_path / "schema.json")
    assert TabularSchema.from_json(tmp_path / "schema.json") == schema


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table schema at .*schema.json: pass the schema.json"):
        TabularSchema.from_json(tmp_path / "schema.json")


def _damage(content, key, value):
    content["columns"][0][key] = value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), r"schema.json must be a dymo_med tabular schema, however: format='other'"),
        (lambda c: c.update(version=2), r"must be of format version 1, however: version=2"),
        (lambda c: c.update(columns={}), r"must list columns, however: columns=dict"),
        (lambda c: c.update(columns=["x"]), r"schema.json, column 0 must have name, kind and only known keys, .*str"),
        (lambda c: _damage(c, "colour", "red"), r"only known keys, however: \[.*'colour'"),
        (lambda c: c["columns"][0].pop("kind"), r"column 0 must have name, kind"),
        (lambda c: _damage(c, "unit", 3), r"column 0 is damaged \(unit must be text"),
        (lambda c: _damage(c, "kind", "text"), r"kind must be 'categorical' or 'continuous'"),
        (lambda c: c["columns"][2].update(mean=None, std=None), r"need mean and std, however: none in \['age_years'\]"),
        (lambda c: c["columns"][2].update(std=-1.0), r"std must be positive, however: std=-1.0"),
    ],
)
def test_wrong_files_are_refused(tmp_path, change, message):
    path = tmp_path / "schema.json"
    fitted().to_json(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        TabularSchema.from_json(path)


@pytest.mark.parametrize(("text", "message"), [("{", "is not valid JSON"), ("[]", "however: format='list'")])
def test_files_of_another_kind_are_refused(tmp_path, text, message):
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        TabularSchema.from_json(tmp_path / "schema.json")
