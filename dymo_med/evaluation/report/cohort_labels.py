"""Labels of a cohort: how they were defined, who is a case, and which sources say so."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dymo_med.evaluation.report.page import Facts, Table
from dymo_med.evaluation.report.suppression import count_text, suppress

__all__ = ["label_blocks"]

_STATUS = {
    "positive": "case",
    "negative": "control",
    "prevalent": "left out: disease at the scan already",
    "undated": "left out: evidence without a date",
    "after_scan": "left out: first evidence after the scan",
    "censored": "left out: not followed up to the end",
    "no_scan_date": "left out: no date of the scan",
    "unmeasured": "left out: a reading is missing",
}
_OPTIONS = {
    "timing": "time of the evidence",
    "within_years": "years after the scan",
    "linkage_end": "last day of the hospital records",
    "compat": "cohort definition",
}


def label_blocks(source: Mapping[str, Any], min_count: int) -> list[Facts | Table]:
    """Tell how each label is defined, and count cases, controls and the sources of evidence.

    Small counts are hidden, and so are those that would tell one by subtraction: all cases are those with and those
    without a source, those with it are of it alone or of others too, and of two sources, those without one are of the
    other alone.

    Args:
        source: What the record of a cohort tells of its download.
        min_count: Smallest count to show; 1 shows all.

    Example:
        >>> record = {"label_status": {"cad": {"positive": 40, "negative": 160}}}
        >>> [block.rows for block in label_blocks(record, 10)]
        [[['cad'], ['case', '40'], ['control', '160']]]
    """
    blocks: list[Facts | Table] = []
    if definitions := _definitions(source):
        blocks.append(Facts(definitions))
    status: list[list[str]] = []
    evidence: list[list[str]] = []
    for label, counts in source.get("label_status", {}).items():
        sources = [row for row in source.get("label_evidence", ()) if row["label"] == label]
        texts = _texts(list(counts), [int(count) for count in counts.values()], sources, min_count)
        status.append([label])
        status += [
            [_STATUS.get(name, name), text] for (name, count), text in zip(counts.items(), texts, strict=False) if count
        ]
        told = texts[len(counts) :]
        evidence += [
            [f"{label}: {row['source']}", cases, only]
            for row, cases, only in zip(sources, told[0::4], told[1::4], strict=True)
        ]
    if status:
        note = "Of subjects with a table row; those without an image or with a damaged one are among them."
        header = ["label", "subjects"]
        blocks.append(Table(caption="Cases, controls, and neither", header=header, rows=status, note=note))
    if evidence:
        header = ["label: source of evidence", "cases", "cases with no other source"]
        note = "A case may have several."
        blocks.append(Table(caption="Evidence behind the labels", header=header, rows=evidence, note=note))
    return blocks


def _definitions(source: Mapping[str, Any]) -> dict[str, str]:
    options: Mapping[str, Any] = source.get("options", {})
    return {
        **source.get("label_definitions", {}),
        **{title: str(options[name]) for name, title in _OPTIONS.items() if name in options},
    }


def _texts(names: Sequence[str], counts: list[int], sources: Sequence[Mapping[str, Any]], min_count: int) -> list[str]:
    """Give the counts of each status, then of each source: its cases, of it alone, of others too, cases without it."""
    values, lines = list(counts), [tuple(range(len(counts)))]
    places = [len(counts) + 4 * k for k in range(len(sources))]
    for row, place in zip(sources, places, strict=True):
        total, cases, only = counts[names.index("positive")], int(row["cases"]), int(row["only_source"])
        values += [cases, only, cases - only, total - cases]
        lines += [(place, place + 1, place + 2), (names.index("positive"), place, place + 3)]
    if len(places) == 2:
        lines += [(one + 3, other + 1) for one, other in (places, places[::-1])]
    numbers = np.array(values, dtype=np.int64)
    hidden = suppress(numbers, lines, min_count)
    return [
        count_text(int(count), min_count, is_hidden=bool(is_hidden))
        for count, is_hidden in zip(numbers, hidden, strict=True)
    ]
