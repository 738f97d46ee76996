"""From raw cells to clinical features, as the catalogue says."""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.data.ukbb.catalogue import SEX_FIELD, Coding, Evidence, Feature, Skip
from dymo_med.data.ukbb.cells import read_codes, read_dates, read_numbers, refuse_decoded, where_of
from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import ParticipantTable
from dymo_med.utils import SubjectError

__all__ = ["FeatureReader"]

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

_DAYS_PER_YEAR = 365.25
_MALE = 1
_MID_MONTH = 15
_OLDEST = 120
"""Largest age at a diagnosis that is one, in years."""


class FeatureReader:
    """Derive features from the raw cells of all participants at once.

    Args:
        table: Raw cells.
        codings: Codes of the fields with several answers.
        visit: Visit of the scan; later visits are never read.
        aside: Receives subjects with a cell that cannot be read.

    Example:
        >>> from dymo_med.data.ukbb import load_catalogue
        >>> table = ParticipantTable.of({Cell(31, 0, 0): ["0", None]}, ["S1", "S2"])
        >>> reader = FeatureReader(table, load_catalogue().codings, visit=2, aside=SetAside())
        >>> reader.read(load_catalogue().features[1]).fillna("?").tolist()
        ['female', '?']
    """

    def __init__(self, table: ParticipantTable, codings: dict[int, Coding], *, visit: int, aside: SetAside) -> None:
        self._table = table
        self._codings = codings
        self._visit = visit
        self._aside = aside
        self._answers: dict[int, pd.DataFrame] = {}
        self.out_of_range: dict[str, int] = {}

    def has_source(self, feature: Feature) -> bool:
        """Tell whether the tables hold a column that can give this feature a value."""
        if feature.rule == "ever":
            return any(self._table.places(item.field, item.visits(self._visit)) for item in feature.evidence)
        if feature.rule == "age":
            year, month, visited, whole_years = feature.fields
            dated = (
                self._table.places(year) and self._table.places(month) and self._table.places(visited, [self._visit])
            )
            return bool(dated or self._table.places(whole_years, [self._visit]))
        return any(self._table.places(field, self._visits(feature.visit)) for field in feature.fields)

    def read(self, feature: Feature) -> pd.Series:
        """Derive one feature for all participants.

        Returns:
            (N,) labels of categories as text, or float64; missing where there is no value.

        Raises:
            ValueError: a column holds decoded text.
        """
        rules: dict[str, Callable[[Feature], pd.Series]] = {
            "code": self._code,
            "number": self._number,
            "ever": self._ever,
            "age": self._age,
        }
        self.out_of_range.pop(feature.name, None)
        return rules[feature.rule](feature).rename(feature.name)

    def _visits(self, which: str) -> Collection[int]:
        return {"scan": [self._visit], "baseline": [0]}[which]

    def _series(self, values: Sequence[object] | NDArray[np.generic]) -> pd.Series:
        return pd.Series(values, index=self._table.subjects)

    def _code(self, feature: Feature) -> pd.Series:
        labels = feature.categories or {}
        result = np.full(len(self._table), None, dtype=object)
        blank = np.ones(len(result), dtype=bool)
        for cell in self._table.places(feature.fields[0], self._visits(feature.visit))[:1]:
            values = read_numbers(self._table, cell, self._aside, feature.name)
            blank = self._table.is_blank(cell)
            self._refuse_unknown(values, labels.keys() | feature.missing_codes, cell, feature.name)
            for code, label in labels.items():
                result[values == code] = label
        if feature.skip:
            result[blank & self._was_skipped(feature.skip)] = feature.skip.value
        if feature.blank is not None:
            result[blank] = feature.blank
        return self._series(result.tolist())

    def _number(self, feature: Feature) -> pd.Series:
        result = np.full(len(self._table), np.nan)
        blank = np.ones(len(result), dtype=bool)
        for field in feature.fields:
            places = self._table.places(field, self._visits(feature.visit))
            for cell in places:
                blank &= self._table.is_blank(cell)
            result = np.where(np.isnan(result), self._reading(feature, places), result)
        if feature.skip:
            result[blank & self._was_skipped(feature.skip)] = float(feature.skip.value)
        if feature.blank is not None:
            result[blank] = float(feature.blank)
        return self._series(result)

    def _reading(self, feature: Feature, places: list[Cell]) -> Numbers:
        """Reduce the readings of one field to one number; readings that are not plausible do not count."""
        if feature.reduction == "first":
            places = places[:1]
        total, count = np.zeros(len(self._table)), np.zeros(len(self._table))
        for cell in places:
            values = read_numbers(self._table, cell, self._aside, feature.name)
            values[np.isin(values, list(feature.missing_codes))] = np.nan
            values = self._plausible(feature, values)
            total += np.nan_to_num(values)
            count += ~np.isnan(values)
        total[count == 0] = np.nan
        return total / np.maximum(count, 1)

    def _plausible(self, feature: Feature, values: Numbers) -> Numbers:
        low = -np.inf if feature.low is None else feature.low
        high = np.inf if feature.high is None else feature.high
        outside = (values < low) | (values > high)
        self.out_of_range[feature.name] = self.out_of_range.get(feature.name, 0) + int(outside.sum())
        values[outside] = np.nan
        return values

    def _ever(self, feature: Feature) -> pd.Series:
        yes, no = np.zeros((2, len(self._table)), dtype=bool)
        for item in feature.evidence:
            yes |= self.proves(item, feature.name)
            if item.proves_no:
                answers = self.answers(item.field)
                said = answers["value"].isin(self._codings[item.field].answers - item.yes)
                no[answers.loc[said & (answers["visit"] == self._visit), "row"]] = True
        default = "no" if feature.unknown_as_no else ""
        result = np.select([yes, no], ["yes", "no"], default=default).astype(object)
        result[(result == "") | (feature.women_only & self._is_male)] = None
        return self._series(result.tolist())

    def proves(self, item: Evidence, name: str = "") -> Mask:
        """Tell who gave evidence at the visit of the scan or before.

        Args:
            item: Evidence to look for.
            name: Feature or label, for the reason why a subject with a faulty cell is set aside.

        Returns:
            (N,) True where somebody did.
        """
        found = np.zeros(len(self._table), dtype=bool)
        if item.is_age:
            for cell in self._table.places(item.field, item.visits(self._visit)):
                ages = read_numbers(self._table, cell, self._aside, name)
                found |= ~np.isnan(ages) if item.any_entry else (ages >= 0) & (ages <= _OLDEST)
            return found
        answers = self.answers(item.field)
        chosen = answers["visit"].isin(item.visits(self._visit)) & answers["value"].isin(item.yes)
        found[answers.loc[chosen, "row"]] = True
        return found

    def _age(self, feature: Feature) -> pd.Series:
        """Give the time from the middle of the month of birth to the scan, else the whole years on record."""
        year, month, visited, whole_years = feature.fields
        parts = {"year": self._single(year, 0, feature), "month": self._single(month, 0, feature), "day": _MID_MONTH}
        born = pd.to_datetime(pd.DataFrame(parts), errors="coerce")
        days = (self.dates(Cell(visited, self._visit, 0)).to_numpy() - born.to_numpy()) / np.timedelta64(1, "D")
        age = np.where(np.isnan(days), self._single(whole_years, self._visit, feature), days / _DAYS_PER_YEAR)
        return self._series(self._plausible(feature, age))

    def _single(self, field: int, visit: int, feature: Feature) -> Numbers:
        for cell in self._table.places(field, [visit]):
            return read_numbers(self._table, cell, self._aside, feature.name)
        return np.full(len(self._table), np.nan)

    @cached_property
    def _is_male(self) -> Mask:
        for cell in self._table.places(SEX_FIELD, [0]):
            return np.equal(read_numbers(self._table, cell, self._aside, "sex"), _MALE)
        return np.zeros(len(self._table), dtype=bool)

    def _was_skipped(self, skip: Skip) -> Mask:
        answers = self.answers(skip.field)
        answers = answers[answers["visit"] == self._visit]
        skipped = np.zeros(len(self._table), dtype=bool)
        if skip.any_of:
            skipped[answers.loc[answers["value"].isin(skip.any_of), "row"]] = True
            return skipped
        skipped[answers.loc[answers["value"].isin(self._codings[skip.field].answers), "row"]] = True
        skipped[answers.loc[answers["value"].isin(skip.none_of), "row"]] = False
        return skipped

    def answers(self, field: int) -> pd.DataFrame:
        """Read a field with several answers at all visits: ``row``, ``visit``, ``value`` (a code known to the coding).

        Raises:
            ValueError: a column holds decoded text.
        """
        if field not in self._answers:
            self._answers[field] = self._read_answers(field)
        return self._answers[field]

    def _read_answers(self, field: int) -> pd.DataFrame:
        kept = [pd.DataFrame({"row": [], "visit": [], "value": []}, dtype="int64")]
        for cell in self._table.places(field):
            answers = read_codes(self._table, [cell])
            values = pd.to_numeric(answers["code"], errors="coerce").astype("float64")
            wrong = ~values.isin(self._codings[field].known).to_numpy()
            refuse_decoded(answers.loc[values.isna().to_numpy(), "code"], len(answers), cell, "codes")
            self._set_unknown_aside(answers.loc[wrong, "row"].to_numpy(), where_of(cell), self._codings[field].known)
            kept.append(answers.assign(value=values)[["row", "visit", "value"]][~wrong].astype("int64"))
        return pd.concat(kept, ignore_index=True)

    def dates(self, cell: Cell) -> pd.Series:
        """Read a column of dates; NaT where blank or where there is no such column.

        Raises:
            ValueError: the column holds dates of another form.
        """
        if cell not in self._table:
            return self._series(np.full(len(self._table), np.datetime64("NaT"), dtype="datetime64[ns]"))
        raw = self._table.column(cell)
        dates = read_dates(raw)
        wrong = (raw.notna() & dates.isna()).to_numpy()
        if wrong.any():
            refuse_decoded(raw[wrong], int(raw.notna().sum()), cell, "dates")
            error = SubjectError(
                "text that is no date (YYYY-MM-DD)", where=where_of(cell), remedy="correct the cell or leave it blank"
            )
            self._aside.add(raw.index[wrong], "table", error)
        return dates

    def _refuse_unknown(self, values: Numbers, known: Collection[int], cell: Cell, feature: str) -> None:
        wrong = np.flatnonzero(~np.isnan(values) & ~np.isin(values, list(known)))
        self._set_unknown_aside(wrong, where_of(cell, feature), known)

    def _set_unknown_aside(self, rows: NDArray[np.int64], where: str, known: Collection[int]) -> None:
        if len(rows):
            error = SubjectError(
                f"a code that the coding ({', '.join(map(str, sorted(known)))}) does not know",
                where=where,
                remedy="export RAW codes or correct the cell",
            )
            self._aside.add(self._table.subjects[rows], "table", error)
