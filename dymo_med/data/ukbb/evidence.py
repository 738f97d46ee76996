"""Evidence of a disease: every event with its source, and whether it is dated before the scan or after it."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.data.ukbb.catalogue import Catalogue
from dymo_med.data.ukbb.cells import read_codes, read_dates, refuse_decoded, where_of
from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.features import FeatureReader
from dymo_med.data.ukbb.label_sets import (
    ICD10_DATE_FIELD,
    ICD10_FIELD,
    LabelCatalogue,
    LabelSet,
    Measured,
    normalize_codes,
)
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import ParticipantTable
from dymo_med.utils import SubjectError

__all__ = ["SCAN_DATE_FIELD", "EvidenceReader"]

SCAN_DATE_FIELD = 53
"""Date of the visit."""


class EvidenceReader:
    """Read the evidence of all participants; hospital diagnoses are read once for all labels.

    Args:
        table: Raw cells.
        labels: Definitions of the labels.
        features: Features that labels name as measured evidence.
        reader: Reads answers, dates and features of the same table.
        visit: Visit of the scan; answers of later visits are never evidence.
        aside: Receives subjects with a cell that cannot be read.
    """

    def __init__(
        self,
        table: ParticipantTable,
        labels: LabelCatalogue,
        features: Catalogue,
        reader: FeatureReader,
        *,
        visit: int,
        aside: SetAside,
    ) -> None:
        self._table = table
        self._unknown = list(labels.unknown_dates)
        self._features = features
        self._reader = reader
        self.scan_date = reader.dates(Cell(SCAN_DATE_FIELD, visit, 0)).to_numpy()
        self._diagnoses = _diagnoses(table, aside)

    def of(self, item: LabelSet) -> pd.DataFrame:
        """Give the events that are evidence of a label.

        Returns:
            One row per event: ``row`` (position of the subject), ``source``, ``date`` (NaT where none is on record),
            ``before`` and ``after`` the scan; neither if the date is unknown. The day of the scan counts as before it.
        """
        codes = self._diagnoses[item.matches(self._diagnoses["code"]).to_numpy(bool)]
        dated = [_events(codes["row"], f"hospital diagnosis (field {ICD10_FIELD})", codes["date"])]
        for place in item.date_fields:
            for cell in self._table.places(place):
                dates = self._reader.dates(cell).reset_index(drop=True).dropna()
                dated.append(_events(dates.index, f"algorithmic outcome (field {place})", dates))
        undated = [
            _events(np.flatnonzero(self._reader.proves(entry)), f"self-report (field {entry.field})")
            for entry in item.self_report
        ]
        if item.measured:
            proved = np.flatnonzero(self._measured(item.measured) == 1)
            undated.append(_events(proved, "measured at the visit"))
        return pd.concat([self._placed(dated), *undated], ignore_index=True)

    def unmeasured(self, item: LabelSet) -> NDArray[np.bool_]:
        """Tell who lacks the readings without which nobody is a control."""
        if item.measured is None or item.measured.unknown_as_no:
            return np.zeros(len(self._table), dtype=bool)
        return np.isnan(self._measured(item.measured))

    def _measured(self, rule: Measured) -> NDArray[np.float64]:
        """Give 1 where the readings prove the disease, 0 where they prove its absence, nan where they cannot tell."""
        verdicts = []
        for name, limit in rule.limits.items():
            values = self._reader.read(self._features.named(name)).to_numpy(np.float64)
            beyond = values >= limit if rule.inclusive else values > limit
            verdicts.append(np.where(np.isnan(values), np.nan, beyond))
        table = np.stack(verdicts)
        decisive = 1.0 if rule.combine == "any" else 0.0
        others = np.where(np.isnan(table).any(axis=0), np.nan, 1 - decisive)
        return np.where((table == decisive).any(axis=0), decisive, others)

    def _placed(self, parts: list[pd.DataFrame]) -> pd.DataFrame:
        events = pd.concat(parts, ignore_index=True)
        date = events["date"].mask(events["date"].isin(self._unknown))
        scan = pd.Series(self.scan_date[events["row"].to_numpy(np.int64)], index=events.index)
        return events.assign(date=date, before=date <= scan, after=date > scan)


def _events(rows: object, source: str, dates: pd.Series | None = None) -> pd.DataFrame:
    """Make a table of events of one source; without dates they were told or read at the scan or before."""
    row = np.asarray(rows, dtype=np.int64)
    when = np.full(len(row), np.datetime64("NaT"), dtype="datetime64[ns]") if dates is None else dates.to_numpy()
    events = pd.DataFrame({"row": row, "source": source, "date": when.astype("datetime64[ns]")})
    events["source"] = events["source"].astype("str")
    return events if dates is not None else events.assign(before=True, after=False)


def _diagnoses(table: ParticipantTable, aside: SetAside) -> pd.DataFrame:
    """Read hospital codes with their dates: ``row``, ``code``, ``date`` (NaT where none is on record)."""
    codes = read_codes(table, table.places(ICD10_FIELD))
    plain = normalize_codes(codes["code"])
    _set_wrong_aside(table, codes, plain, aside, Cell(ICD10_FIELD, 0, 0), "ICD-10 codes", "an ICD-10 code")
    dates = read_codes(table, table.places(ICD10_DATE_FIELD)).rename(columns={"code": "text"})
    dates["date"] = read_dates(dates["text"])
    raw = dates.rename(columns={"text": "code"})
    _set_wrong_aside(table, raw, dates["date"], aside, Cell(ICD10_DATE_FIELD, 0, 0), "dates", "a date (YYYY-MM-DD)")
    known = codes.assign(code=plain)[plain.notna()]
    return known.merge(dates, how="left", on=["row", "visit", "array"])[["row", "code", "date"]]


def _set_wrong_aside(
    table: ParticipantTable, raw: pd.DataFrame, read: pd.Series, aside: SetAside, cell: Cell, plural: str, one: str
) -> None:
    wrong = raw[read.isna().to_numpy()]
    refuse_decoded(wrong["code"], len(raw), cell, plural)
    error = SubjectError(f"text that is not {one}", where=where_of(cell), remedy="export RAW codes or correct the cell")
    aside.add(table.subjects[wrong["row"].unique()], "label", error)
