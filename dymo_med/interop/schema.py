"""The table of published models: its 75 columns by name, and tables that have other ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dymo_med.data.cohort.layout import TRAIN_SPLIT
from dymo_med.data.ukbb import load_published_catalogue
from dymo_med.tabular import Column, TabularSchema

__all__ = ["complete_columns", "published_columns", "published_schema"]


def published_columns(field_lengths: Sequence[int]) -> tuple[Column, ...]:
    """Describe the columns of the published table in its order, without training statistics.

    Args:
        field_lengths: Number of categories of each column as published, 1 = continuous.

    Returns:
        One column per entry, from the feature catalogue.

    Raises:
        ValueError: the lengths are not those of the published table of UK Biobank features.

    Example:
        >>> lengths = [2] * 13 + [3, 6, 4, 3, 3, 8, 8, 8, 3, 8, 3, 4, 3] + [1] * 49
        >>> [column.name for column in published_columns(lengths)][1:3]
        ['sex', 'diabetes_diagnosed']
    """
    columns = [feature.column() for feature in load_published_catalogue().published()]
    if len(field_lengths) != len(columns):
        raise ValueError(
            f"field lengths must be those of the {len(columns)} published features, however: {len(field_lengths)} "
            "columns: a table of other features has no published schema"
        )
    differing = [
        f"{column.name}: {length} in the file, {max(len(column.categories), 1)} in the catalogue"
        for column, length in zip(columns, field_lengths, strict=True)
        if length != max(len(column.categories), 1)
    ]
    if differing:
        raise ValueError(
            f"numbers of categories must be those of the feature catalogue, however: {differing[:4]} ({len(differing)} "
            "columns): pass the field lengths of the published table"
        )
    return tuple(columns)


def published_schema(
    field_lengths: Sequence[int],
    *,
    training: pd.DataFrame | None = None,
    statistics: Mapping[str, Any] | None = None,
    absent_as_missing: bool = False,
) -> TabularSchema:
    """Make the schema of the published table; published files do not hold means and standard deviations.

    Args:
        field_lengths: Number of categories of each column as published.
        training: Rows to learn means and standard deviations from, columns by feature name, categories as the feature
            catalogue labels them; with a column ``split``, its rows "train" alone count.
        statistics: Instead of ``training``: ``{column: {"mean": m, "std": s}}`` of every continuous column, in its
            unit.
        absent_as_missing: Accept that columns are absent from ``training``: they are missing for everybody, their
            mean is 0 and their standard deviation 1.

    Raises:
        ValueError: both or none of ``training`` and ``statistics`` are given, or a column is absent or cannot be used.
    """
    columns = published_columns(field_lengths)
    if (training is None) == (statistics is None):
        given = {"training": training is not None, "statistics": statistics is not None}
        raise ValueError(
            f"a schema needs either a training table or column statistics, however: {given}: published files do not "
            "hold means and standard deviations"
        )
    if statistics is not None:
        return TabularSchema(tuple(_with_statistics(column, statistics) for column in columns))
    table = training if training is not None else pd.DataFrame()
    if "split" in table.columns:
        table = table[table["split"] == TRAIN_SPLIT]
    present = [column for column in columns if column.name in table.columns]
    complete_columns(table, columns, absent_as_missing=absent_as_missing)
    fitted = {column.name: column for column in TabularSchema.fit(table[[c.name for c in present]], present).columns}
    return TabularSchema(tuple(fitted.get(column.name, _never_observed(column)) for column in columns))


def complete_columns(
    table: pd.DataFrame, columns: Sequence[Column], *, absent_as_missing: bool = False
) -> pd.DataFrame:
    """Give exactly the columns of a schema, in its order; others are left out.

    Args:
        table: Raw values, columns by name.
        columns: Columns of the schema.
        absent_as_missing: Add columns that are absent, with every cell missing, instead of refusing.

    Raises:
        ValueError: columns are absent.

    Example:
        >>> age = Column(name="age_years", kind="continuous")
        >>> complete_columns(pd.DataFrame({"x": [1]}, index=["a"]), [age], absent_as_missing=True)["age_years"].tolist()
        [nan]
    """
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent and not absent_as_missing:
        raise ValueError(
            f"the table must have all {len(columns)} columns of the schema, however: absent are {absent[:6]} "
            f"({len(absent)} in all): add them, or ask for absent columns to count as missing"
        )
    return table.assign(**dict.fromkeys(absent, np.nan))[[column.name for column in columns]]


def _with_statistics(column: Column, statistics: Mapping[str, Any]) -> Column:
    if column.kind == "categorical":
        return column
    found = statistics.get(column.name)
    if not isinstance(found, Mapping) or set(found) != {"mean", "std"}:
        raise ValueError(
            f"column statistics must give mean and std of every continuous column, however: {column.name!r} has "
            f"{found!r}: write {{'{column.name}': {{'mean': ..., 'std': ...}}}}"
        )
    return replace(column, mean=found["mean"], std=found["std"])


def _never_observed(column: Column) -> Column:
    return column if column.kind == "categorical" else replace(column, mean=0.0, std=1.0)
