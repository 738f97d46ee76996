"""Who came into a cohort and who did not, as a diagram and a table of reasons."""

import re

import numpy as np
import pandas as pd

from dymo_med.data.cohort import Cohort
from dymo_med.evaluation.report.flow import FlowBox, flow_diagram
from dymo_med.evaluation.report.groups import Groups
from dymo_med.evaluation.report.page import Figure, Table, Text
from dymo_med.evaluation.report.suppression import count_text, suppress
from dymo_med.evaluation.report.table_one import Variable

__all__ = ["availability", "flow_blocks"]

_AVAILABLE = ("image and table", "image only", "table only")
_MOST_REASONS = 10
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBERS = re.compile(
    r"(?P<kept>\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)|\b(field|visit|position) \d+)"
    r"|(?<!\w)-?\d+(\.\d+)?(e[+-]?\d+)?(, \d+)*"
)
"""A tag, field or visit, which is kept; or a number or a list of numbers."""


def availability(cohort: Cohort) -> Variable:
    """Tell which modalities each subject has.

    Args:
        cohort: Prepared cohort.
    """
    quality = cohort.quality.set_index("subject_id").reindex(cohort.subjects.index)
    has_image, has_table = (quality[name].to_numpy(dtype=bool) for name in ("has_image", "has_table"))
    names = np.select([has_image & has_table, has_image], _AVAILABLE[:2], _AVAILABLE[2])
    return Variable(title="available", values=pd.Series(names, index=quality.index, dtype="str"), levels=_AVAILABLE)


def flow_blocks(cohort: Cohort, groups: Groups, available: Variable) -> tuple[Figure, Table | Text]:
    """Draw the flow from the download to the splits, and list the reasons for leaving subjects out.

    Args:
        cohort: Prepared cohort.
        groups: Groups of the page; the splits come first.
        available: What :func:`availability` gave.
    """
    reasons = _reason_counts(cohort)
    n, n_in, n_out = len(reasons), len(cohort), int(reasons.sum())
    counts = np.array([*reasons.to_numpy(), n_out, n_in, n_in + n_out], dtype=np.int64)
    hidden = suppress(counts, [range(n + 1), (n, n + 1, n + 2)], groups.min_count, last=(n + 1,))
    texts = [
        count_text(int(count), groups.min_count, is_hidden=bool(is_hidden))
        for count, is_hidden in zip(counts, hidden, strict=True)
    ]
    rows = [[str(reason), text] for reason, text in zip(reasons.index, texts, strict=False)]
    shown = [f"{reason}: {text}" for reason, text in rows[:_MOST_REASONS]]
    if n > _MOST_REASONS:
        shown.append(f"and {n - _MOST_REASONS} other reasons, see the table")
    boxes = (
        FlowBox(f"Image or table row at hand: {texts[n + 2]}", _withdrawn(cohort, groups.min_count)),
        FlowBox(f"Set aside: {texts[n]}", shown),
        FlowBox(f"Cohort: {texts[n + 1]}"),
    )
    splits = _splits(groups, available)
    spoken = "; ".join(" - ".join([box.title, *box.lines]) for box in (*boxes, *splits))
    image = flow_diagram(*boxes, splits)
    figure = Figure(caption="From the download to the splits", image=image, alternative=f"Flow diagram. {spoken}.")
    if not rows:
        return figure, Text("Nobody was set aside.")
    note = "N and … stand for numbers and texts of single subjects; each subject's own line is in qc.parquet."
    header = ["stage and reason", "subjects"]
    return figure, Table(caption="Reasons for setting subjects aside", header=header, rows=rows, note=note)


def _withdrawn(cohort: Cohort, min_count: int) -> list[str]:
    count = int(cohort.source.get("n_withdrawn", 0))
    shown = count_text(count, min_count, is_hidden=0 < count < min_count)
    return [f"withdrawn and removed before: {shown}"] if count else []


def _splits(groups: Groups, available: Variable) -> list[FlowBox]:
    counts = groups.counts(available.codes, len(_AVAILABLE) + 1)
    hidden = groups.hidden(counts)
    boxes = []
    for column in groups.partitions[0].columns:
        size = count_text(int(groups.sizes[column]), groups.min_count, is_hidden=bool(groups.withheld[column]))
        lines = [
            f"{name}: {count_text(int(count), groups.min_count, is_hidden=bool(is_hidden))}"
            for name, count, is_hidden in zip(_AVAILABLE, counts[:, column], hidden[:, column], strict=False)
        ]
        boxes.append(FlowBox(f"{groups.titles[column]}: {size}", lines))
    return boxes


def _reason_counts(cohort: Cohort) -> pd.Series:
    aside = cohort.set_aside
    kinds = aside["stage"].astype("str") + ": " + aside["reason"].map(_kind_of_reason)
    return kinds.value_counts().sort_index().sort_values(ascending=False, kind="stable")


def _kind_of_reason(reason: str) -> str:
    """Give a reason without what belongs to one subject: quoted text, numbers other than tag, field and visit."""
    problem = _QUOTED.sub("…", reason).split(": ")[0].replace(" of archive member …", "")
    return _NUMBERS.sub(lambda match: match["kept"] or "N", problem)
