"""The page of a cohort: who is in it, who is not and why, and what they are like. Aggregates only."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dymo_med import __version__
from dymo_med.data.cohort import Cohort, layout
from dymo_med.evaluation.report.cohort_flow import availability, flow_blocks
from dymo_med.evaluation.report.cohort_labels import label_blocks
from dymo_med.evaluation.report.groups import Groups
from dymo_med.evaluation.report.page import Bar, Facts, Page, Table, Text
from dymo_med.evaluation.report.suppression import count_text
from dymo_med.evaluation.report.table_one import Variable, table_one
from dymo_med.evaluation.report.wording import column_title
from dymo_med.utils import read_json

__all__ = ["MIN_COUNT", "cohort_groups", "cohort_page", "cohort_tables", "write_cohort_page"]

MIN_COUNT = 10
"""Smallest count to show: the usual bound of registries for what may leave them."""

_FILE = "cohort.html"
_UNKNOWN = "unknown"
_SPLIT_ORDER = ("train", "val", "test")
_NO_AND_YES = ("no", "yes")


def write_cohort_page(cohort: Cohort, path: str | Path | None = None, *, min_count: int = MIN_COUNT) -> Path:
    """Write the page of a cohort; the same cohort gives the same bytes.

    Args:
        cohort: Prepared cohort.
        path: File to write; None for ``cohort.html`` in the folder of the cohort.
        min_count: Smallest count to show; 1 shows all.

    Returns:
        The file.

    Raises:
        ValueError: ``min_count`` is not a positive integer.
        OSError: the file cannot be written.
    """
    path = cohort.folder / _FILE if path is None else Path(path)
    cohort_page(cohort, min_count=min_count).write(path)
    return path


def cohort_page(cohort: Cohort, *, min_count: int = MIN_COUNT) -> Page:
    """Make the page: flow diagram, table 1, labels and their evidence, gaps, implausible values, digests.

    Nothing in it is of one subject: counts from 1 to ``min_count - 1`` are hidden, and so are those from which they
    could be worked out within the page.

    Args:
        cohort: Prepared cohort.
        min_count: Smallest count to show; 1 shows all.

    Raises:
        ValueError: ``min_count`` is not a positive integer.
    """
    is_simulated = cohort.data_kind == "simulated"
    page = Page(
        title="Cohort",
        lead=f"Who is in this cohort, who was left out and why. Data: {cohort.data_kind}. Prepared with dymo_med "
        f"{__version__}. Aggregates only.",
        banner="Simulated data: these figures say nothing about patients." if is_simulated else "",
    )
    groups = cohort_groups(cohort, min_count)
    available = availability(cohort)
    page.add("Flow of subjects", *flow_blocks(cohort, groups, available))
    page.add("Table 1", *cohort_tables(cohort, groups, available))
    page.add("Labels", *label_blocks(cohort.source, min_count))
    page.add("Missing values", _missing(cohort, groups))
    page.add("Values outside the plausible range", *_out_of_range(cohort, min_count))
    page.add("Data and versions", _provenance(cohort))
    return page


def cohort_groups(cohort: Cohort, min_count: int) -> Groups:
    """Give the groups that tables of a cohort compare: splits first, then the classes of every label.

    Args:
        cohort: Prepared cohort.
        min_count: Smallest count to show; 1 shows all.
    """
    splits = cohort.subjects["split"]
    order = sorted(cohort.splits, key=lambda name: (name not in _SPLIT_ORDER, *_rank(name)))
    partitions = {"split": {name: (splits == name).to_numpy(dtype=bool) for name in order}}
    for task in cohort.tasks:
        values = cohort.subjects[f"label_{task}"]
        names = _class_names(values)
        classes = {f"{task}: {name}": (values == value) for value, name in names.items()}
        if values.isna().any():
            classes[_UNKNOWN] = values.isna()
        partitions[task] = {name: members.fillna(value=False).to_numpy(dtype=bool) for name, members in classes.items()}
    return Groups(partitions, n_subjects=len(cohort), min_count=min_count, unknown=_UNKNOWN)


def _rank(name: str) -> tuple[int, str]:
    return (_SPLIT_ORDER.index(name) if name in _SPLIT_ORDER else 0, name)


def cohort_tables(cohort: Cohort, groups: Groups, available: Variable) -> list[Table]:
    """Give table 1 by split and, in the order of the cohort's tasks, one table by each label.

    Args:
        cohort: Prepared cohort.
        groups: What :func:`cohort_groups` gave.
        available: What :func:`~dymo_med.evaluation.report.cohort_flow.availability` gave.
    """
    variables = [available, *(_label_variable(cohort, task) for task in cohort.tasks)]
    features = [
        Variable(
            title=column_title(column),
            values=cohort.subjects[column.name],
            levels=column.categories,
        )
        for column in cohort.schema.columns
    ]
    split, *tasks = groups.partitions
    tables = [table_one("Table 1. Subjects by split", [*variables, *features], groups, split)]
    for number, partition in enumerate(tasks, start=2):
        others = [variable for variable in variables if variable.title != f"label {partition.title}"]
        caption = f"Table {number}. Subjects by label {partition.title}"
        tables.append(table_one(caption, [*others, *features], groups, partition))
    return tables


def _label_variable(cohort: Cohort, task: str) -> Variable:
    values = cohort.subjects[f"label_{task}"]
    names = _class_names(values)
    return Variable(title=f"label {task}", values=values.astype("object").map(names), levels=tuple(names.values()))


def _class_names(values: pd.Series) -> dict[int, str]:
    """Name the classes of a label that occur; of two, 0 is "no" and 1 is "yes"."""
    found = sorted(int(value) for value in values.dropna().unique())
    return {value: _NO_AND_YES[value] if found[-1] < len(_NO_AND_YES) else str(value) for value in found}


def _plain(count: int, min_count: int) -> str:
    return count_text(int(count), min_count, is_hidden=0 < int(count) < min_count)


def _missing(cohort: Cohort, groups: Groups) -> Table:
    columns = [0, *groups.partitions[0].columns]
    rows: list[list[str | Bar]] = []
    for column in cohort.schema.columns:
        variable = Variable(title=column.title, values=cohort.subjects[column.name], levels=column.categories)
        n_levels = len(variable.levels or ("observed",)) + 1
        counts = groups.counts(variable.codes, n_levels)
        hidden = groups.hidden(counts)[-1]
        rows.append([column.title, *(_share_missing(groups, counts[-1], hidden, place) for place in columns)])
    titles = [groups.titles[place] for place in columns]
    note = "Subjects without any table row count as missing in every row. Nothing is imputed in a stored cohort."
    return Table(caption="Share of subjects without a value", header=["column", *titles], rows=rows, note=note)


def _share_missing(groups: Groups, counts: np.ndarray, hidden: np.ndarray, place: int) -> Bar:
    if hidden[place]:
        return Bar(None, count_text(int(counts[place]), groups.min_count, is_hidden=True))
    share = counts[place] / groups.sizes[place]
    return Bar(float(share), f"{100 * share:.1f} %")


def _out_of_range(cohort: Cohort, min_count: int) -> list[Table | Text]:
    counts = _range_counts(cohort)
    if not counts:
        return [Text("No value lay outside the plausible range of its column.")]
    titles = {column.name: column for column in cohort.schema.columns}
    rows = []
    for name, count in counts.items():
        column = titles.get(name)
        bounds = "" if column is None else f"{_bound(column.low)} to {_bound(column.high)} {column.unit}".strip()
        rows.append([column.title if column else name, bounds, _plain(count, min_count)])
    note = "Such values count as missing; a reading may be one of several that a value is the mean of."
    return [
        Table(caption="Readings not counted", header=["column", "plausible range", "readings"], rows=rows, note=note)
    ]


def _range_counts(cohort: Cohort) -> dict[str, int]:
    """Count readings of the download, and values that the schema's own ranges ruled out later."""
    features: Mapping[str, Mapping[str, int]] = cohort.source.get("features", {})
    readings = {name: int(counts["out_of_range"]) for name, counts in features.items()}
    for name, count in _about(cohort)["n_out_of_range"].items():
        readings[name] = readings.get(name, 0) + int(count)
    return {name: count for name, count in readings.items() if count}


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


def _provenance(cohort: Cohort) -> Facts:
    digests: Mapping[str, str] = _about(cohort)["digests"]
    schema, source = cohort.schema, cohort.source
    facts = {
        "data": cohort.data_kind,
        "cohort digest": cohort.digest,
        **{f"digest of {name}": digest for name, digest in digests.items()},
        "image": f"{' x '.join(map(str, cohort.image_shape))} (channels, columns, rows)",
        "table": f"{len(schema.cat_cardinalities)} categorical and {schema.n_num_features} continuous columns",
        "features without a column in the tables": ", ".join(source.get("absent_features", ())),
        "features left out as they tell the label": ", ".join(source.get("refused_features", ())),
        "dymo_med": __version__,
        "Python, NumPy, pandas": f"{platform.python_version()}, {np.__version__}, {pd.__version__}",
    }
    return Facts({name: value for name, value in facts.items() if value})


def _about(cohort: Cohort) -> Mapping[str, Any]:
    content: Mapping[str, Any] = read_json(cohort.folder / layout.COHORT_FILE)
    return content
