"""The published table: columns, statistics, absent columns."""

import numpy as np
import pandas as pd
import pytest

from dymo_med.data.ukbb import load_catalogue
from dymo_med.interop import complete_columns, published_columns, published_schema

FEATURES = sorted(
    (feature for feature in load_catalogue().features if feature.published_index is not None),
    key=lambda feature: feature.published_index,
)
LENGTHS = [2] * 13 + [3, 6, 4, 3, 3, 8, 8, 8, 3, 8, 3, 4, 3] + [1] * 49


def training_table(n=40, seed=0):
    rng = np.random.default_rng(seed)
    table = {}
    for feature in FEATURES:
        column = feature.column()
        if column.kind == "categorical":
            table[column.name] = rng.choice(np.array(column.categories, dtype=object), n)
        else:
            low, high = column.low, column.high
            table[column.name] = rng.uniform(low + 0.1 * (high - low), low + 0.25 * (high - low), n)
    return pd.DataFrame(table, index=[f"S{i}" for i in range(n)])


def test_columns_are_the_published_ones_in_their_order():
    columns = published_columns(LENGTHS)
    assert [column.name for column in columns] == [feature.name for feature in FEATURES]
    assert [max(len(column.categories), 1) for column in columns] == LENGTHS
    assert [feature.published_index for feature in FEATURES] == list(range(75))
    assert FEATURES[1].published_title == "Sex-0.0"


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"those of the 75 published features, however: 6 columns"):
        published_columns([2, 4, 3, 1, 1, 1])
    with pytest.raises(
        ValueError, match=r"however: \['sleeplessness: 5 in the file, 3 in the catalogue'\] \(1 columns\)"
    ):
        published_columns([*LENGTHS[:13], 5, *LENGTHS[14:]])


def test_schema_from_a_training_table_takes_its_training_rows():
    table = training_table()
    schema = published_schema(LENGTHS, training=table)
    assert schema.names == [feature.name for feature in FEATURES]
    assert [*schema.cat_cardinalities, *[1] * schema.n_num_features] == LENGTHS
    column = next(column for column in schema.columns if column.kind == "continuous")
    assert column.mean == pytest.approx(table[column.name].mean())
    assert column.std == pytest.approx(table[column.name].std())
    split = table.assign(split=["train"] * 30 + ["test"] * 10)
    only = published_schema(LENGTHS, training=split)
    assert only.digest == published_schema(LENGTHS, training=table.iloc[:30]).digest
    assert only.digest != schema.digest


def test_absent_columns_are_refused_or_counted_as_missing():
    table = training_table().drop(columns=["angina_diagnosed", FEATURES[40].name])
    with pytest.raises(ValueError, match=r"all 75 columns of the schema, however: absent are \['angina_diagnosed', "):
        published_schema(LENGTHS, training=table)
    schema = published_schema(LENGTHS, training=table, absent_as_missing=True)
    assert schema.names == [feature.name for feature in FEATURES]
    assert schema.columns[40].statistics == (0.0, 1.0)
    completed = complete_columns(table, schema.columns, absent_as_missing=True)
    assert completed["angina_diagnosed"].isna().all()
    assert list(completed.columns) == schema.names
    assert completed["sex"].equals(table["sex"])
    with pytest.raises(ValueError, match=r"absent are .* \(2 in all\): add them"):
        complete_columns(table, schema.columns)


def test_schema_from_column_statistics():
    statistics = {f.name: {"mean": 1.5, "std": 2} for f in FEATURES if f.kind == "continuous"}
    schema = published_schema(LENGTHS, statistics=statistics)
    assert {column.statistics for column in schema.columns if column.kind == "continuous"} == {(1.5, 2.0)}
    del statistics[FEATURES[-1].name]
    with pytest.raises(ValueError, match=rf"every continuous column, however: '{FEATURES[-1].name}' has None"):
        published_schema(LENGTHS, statistics=statistics)


def test_one_source_of_statistics():
    with pytest.raises(ValueError, match=r"either a training table or column statistics, however: .*False.*False"):
        published_schema(LENGTHS)
    with pytest.raises(ValueError, match=r"either a training table or column statistics, however: .*True.*True"):
        published_schema(LENGTHS, training=training_table(), statistics={})
