"""Labels from hospital codes, algorithmic outcomes and self-report, with their time relative to the scan."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.data.ukbb.cells import read_codes, read_dates, refuse_decoded, where_of
from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.features import FeatureReader
from dymo_med.data.ukbb.label_sets import ICD10_DATE_FIELD, ICD10_FIELD, LabelCatalogue, LabelSet, normalize_codes
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import ParticipantTable
from dymo_med.utils import SubjectError, as_choice

__all__ = ["STATUS", "Timing", "label_fields", "read_labels"]

STATUS = POSITIVE, UNDATED, AFTER_SCAN, NEGATIVE = "positive", "undated", "after_scan", "negative"
"""Case; excluded as evidence has no known date; excluded as the first evidence is later than the scan; control."""

SCAN_DATE_FIELD = 53
"""Date of the visit."""


class Timing(StrEnum):
    """When the evidence of a disease must be dated.

    ``PREVALENT``: on or before the day of the scan. Subjects whose only evidence is later, or has no known date, are
    neither cases nor controls: their label is missing. ``EVER``: at any time, which mixes diagnosis and prediction.
    """

    PREVALENT = "prevalent"
    EVER = "ever"


def label_fields(names: Sequence[str], catalogue: LabelCatalogue) -> set[int]:
    """Give all registry fields that the labels read."""
    if not names:
        return set()
    return {ICD10_DATE_FIELD, SCAN_DATE_FIELD}.union(*(catalogue.get(name).fields for name in names))


def read_labels(
    table: ParticipantTable,
    names: Sequence[str],
    catalogue: LabelCatalogue,
    reader: FeatureReader,
    *,
    visit: int,
    timing: str,
    aside: SetAside,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Label all participants.

    A subject without any evidence is a control, also without any hospital record: the registry does not tell "never in
    hospital" from "not linked". Self-report has no date; it counts as before the scan if given at the scan or earlier.

    Args:
        table: Raw cells.
        names: Labels to make.
        catalogue: Their definitions.
        reader: Reads answers and dates of the same table.
        visit: Visit of the scan.
        timing: ``"prevalent"`` or ``"ever"``.
        aside: Receives subjects with a cell that cannot be read.

    Returns:
        Labels, (N, L) nullable Int8: 1 case, 0 control, missing; and beside it why, one of :data:`STATUS`.

    Raises:
        ValueError: a field that a label needs is in none of the tables, or holds decoded text.

    Source: fields 41270, 41280 (hospital diagnoses and first dates), 42000 (algorithmic outcome), 6150, 53.
    """
    timing = as_choice("timing", timing, Timing)
    sets = [catalogue.get(name) for name in names]
    status = pd.DataFrame(index=table.cells.index, columns=list(names), dtype="object")
    if sets:
        _check_fields(table, sets, visit, timing)
        evidence = _Evidence(table, catalogue, reader, visit, aside)
        for item in sets:
            before, after, undated = evidence.of(item)
            positive = before | after | undated if timing is Timing.EVER else before
            status[item.name] = np.select([positive, undated, after], STATUS[:3], default=STATUS[3])
    labels = status.apply(lambda column: column.map({POSITIVE: 1, NEGATIVE: 0})).astype("Int8")
    return labels, status


Masks = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


class _Evidence:
    """Evidence of all participants, read once: before the scan, after it, at an unknown time."""

    def __init__(
        self, table: ParticipantTable, catalogue: LabelCatalogue, reader: FeatureReader, visit: int, aside: SetAside
    ) -> None:
        self._table = table
        self._unknown = list(catalogue.unknown_dates)
        self._reader = reader
        self._visit = visit
        self._scan_date = reader.dates(Cell(SCAN_DATE_FIELD, visit, 0)).to_numpy()
        self._diagnoses = self._dated(_diagnoses(table, aside))

    def of(self, item: LabelSet) -> Masks:
        """Give who has evidence of a label before the scan, after it, and at an unknown date."""
        masks = _none(self._table), _none(self._table), _none(self._table)
        self._add(masks, self._diagnoses[self._diagnoses["code"].isin(item.codes)])
        for field in item.date_fields:
            for cell in self._table.places(field):
                dates = self._reader.dates(cell).reset_index(drop=True).dropna()
                self._add(masks, self._dated(pd.DataFrame({"row": dates.index, "date": dates})))
        for field, codes in item.self_report.items():
            answers = self._reader.answers(field)
            answers = answers[answers["value"].isin(codes)]
            early = answers["visit"] <= self._visit
            masks[0][answers.loc[early, "row"]] = True
            masks[1][answers.loc[~early, "row"]] = True
        return masks

    def _dated(self, events: pd.DataFrame) -> pd.DataFrame:
        """Tell for each event whether it is before or after the scan; neither if a date is unknown."""
        date = events["date"].mask(events["date"].isin(self._unknown))
        scan = pd.Series(self._scan_date[events["row"].to_numpy(np.int64)], index=events.index)
        return events.assign(before=date <= scan, after=date > scan)

    @staticmethod
    def _add(masks: Masks, events: pd.DataFrame) -> None:
        chosen = (events["before"], events["after"], ~events["before"] & ~events["after"])
        for mask, which in zip(masks, chosen, strict=True):
            mask[events.loc[which, "row"].to_numpy(np.int64)] = True


def _none(table: ParticipantTable) -> NDArray[np.bool_]:
    return np.zeros(len(table.cells), dtype=bool)


def _diagnoses(table: ParticipantTable, aside: SetAside) -> pd.DataFrame:
    """Read hospital codes with their dates: ``row``, ``code``, ``date`` (NaT where none is on record)."""
    codes = read_codes(table, table.places(ICD10_FIELD))
    plain = normalize_codes(codes["code"])
    _set_wrong_aside(table, codes, plain, aside, Cell(ICD10_FIELD, 0, 0), "ICD-10 codes", "an ICD-10 code")
    dates = read_codes(table, table.places(ICD10_DATE_FIELD)).rename(columns={"code": "text"})
    dates["date"] = read_dates(dates["text"])
    _set_wrong_aside(table, dates, dates["date"], aside, Cell(ICD10_DATE_FIELD, 0, 0), "dates", "a date (YYYY-MM-DD)")
    known = codes.assign(code=plain)[plain.notna()]
    return known.merge(dates, how="left", on=["row", "visit", "array"])[["row", "code", "date"]]


def _set_wrong_aside(
    table: ParticipantTable, raw: pd.DataFrame, read: pd.Series, aside: SetAside, cell: Cell, plural: str, one: str
) -> None:
    wrong = raw.loc[read.isna().to_numpy(), "row"]
    refuse_decoded(len(wrong), len(raw), cell, plural)
    error = SubjectError(f"text that is not {one}", where=where_of(cell), remedy="export RAW codes or correct the cell")
    aside.add(table.cells.index[wrong.unique()], "label", error)


def _check_fields(table: ParticipantTable, sets: Sequence[LabelSet], visit: int, timing: Timing) -> None:
    for item in sets:
        absent = sorted(field for field in item.fields if not table.places(field))
        if timing is Timing.PREVALENT:
            absent += [] if table.places(ICD10_DATE_FIELD) else [ICD10_DATE_FIELD]
            absent += [] if table.places(SCAN_DATE_FIELD, [visit]) else [SCAN_DATE_FIELD]
        if absent:
            raise ValueError(
                f"label {item.name!r} with timing {timing.value!r} reads the fields {absent}, which are in none of the "
                f"tables (field {SCAN_DATE_FIELD} at visit {visit}): export them, choose another label or timing, or "
                "pass no labels to predict only"
            )
