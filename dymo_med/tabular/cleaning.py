"""From a raw table to typed columns: what is missing, what is implausible, which rows cannot be used."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from dymo_med.tabular.column import Column
from dymo_med.utils import SubjectError

__all__ = ["CleanTable", "clean_table"]

_SHOWN = 40
"""Characters of a faulty cell that an error shows."""


@dataclass(frozen=True)
class CleanTable:
    """What :func:`clean_table` gives.

    Args:
        frame: Rows that can be used, index ``subject_id``, columns in the order asked for; categories as text, numbers
            as float64 in the column's unit, missing cells as NaN.
        problems: Subject to the error that sets it aside.
        out_of_range: Column to the number of implausible values that became missing in ``frame``.

    Example:
        >>> clean_table(pd.DataFrame(index=["S1"]), []).frame.shape
        (1, 0)
    """

    frame: pd.DataFrame
    problems: dict[str, SubjectError]
    out_of_range: dict[str, int]


def clean_table(frame: pd.DataFrame, columns: Sequence[Column]) -> CleanTable:
    """Check a raw table against its columns, once and for all rows together.

    NaN, None and empty text are missing. Numbers outside the plausible range become missing and are counted. A category
    that the coding does not know, or text where a number belongs, costs that row only.

    Args:
        frame: Raw values, index ``subject_id`` (unique), one column per entry of ``columns`` in any order.
        columns: What the table must hold, all of it and nothing else.

    Raises:
        ValueError: a column is absent, unknown or there twice, or a subject has more than one row.

    Example:
        >>> age = Column(name="age_years", kind="continuous", low=0, high=120)
        >>> raw = pd.DataFrame({"age_years": [61, 999, "old"]}, index=["a", "b", "c"])
        >>> clean = clean_table(raw, [age])
        >>> clean.frame["age_years"].tolist(), clean.out_of_range, list(clean.problems)
        ([61.0, nan], {'age_years': 1}, ['c'])
    """
    _check_columns(frame, columns)
    frame = frame.set_axis(frame.index.astype("str"))
    _check_subjects(frame)
    cleaned: dict[str, pd.Series] = {}
    implausible: dict[str, npt.NDArray[np.bool_]] = {}
    problems: dict[str, SubjectError] = {}
    for column in columns:
        raw = frame[column.name]
        missing = _missing(raw)
        values = _categories(raw, column) if column.kind == "categorical" else _numbers(raw)
        bad = values.isna().to_numpy(dtype=bool) & ~missing
        for subject in frame.index[bad]:
            problems.setdefault(subject, _cell_error(raw[subject], column))
        if column.kind == "continuous":
            implausible[column.name] = _outside(values, column)
            values = values.mask(implausible[column.name])
        cleaned[column.name] = values
    good = ~frame.index.isin(list(problems))
    counts = {name: int(outside[good].sum()) for name, outside in implausible.items()}
    return CleanTable(
        frame=pd.DataFrame(cleaned, index=frame.index)[good],
        problems=problems,
        out_of_range={name: count for name, count in counts.items() if count},
    )


def _missing(raw: pd.Series) -> npt.NDArray[np.bool_]:
    is_empty = raw.isna() if _holds_numbers(raw) else raw.isna() | (raw.astype("str") == "")
    return is_empty.to_numpy(dtype=bool)


def _holds_numbers(raw: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(raw.dtype) and not pd.api.types.is_bool_dtype(raw.dtype)


def _categories(raw: pd.Series, column: Column) -> pd.Series:
    text = raw.astype("str")
    return text.where(text.isin(column.categories))


def _numbers(raw: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(raw if _holds_numbers(raw) else raw.astype("str"), errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _outside(values: pd.Series, column: Column) -> npt.NDArray[np.bool_]:
    outside = pd.Series(data=False, index=values.index)
    if column.low is not None:
        outside |= values < column.low
    if column.high is not None:
        outside |= values > column.high
    return outside.to_numpy(dtype=bool)


def _cell_error(value: object, column: Column) -> SubjectError:
    shown = repr(str(value)[:_SHOWN])
    where = f"table column {column.name!r}"
    if column.kind == "continuous":
        return SubjectError(
            f"{shown} is no finite number", where=where, remedy="write a number or leave the cell empty"
        )
    known = ", ".join(repr(level) for level in column.categories)
    return SubjectError(f"unknown category {shown}", where=where, remedy=f"use one of {known} or leave the cell empty")


def _check_subjects(frame: pd.DataFrame) -> None:
    if not frame.index.is_unique:
        n_repeated = int(frame.index.duplicated(keep=False).sum())
        raise ValueError(
            f"every subject must have one row, however: {n_repeated} of {len(frame)} rows share a subject_id: "
            "keep one row for each or set these subjects aside"
        )


def _check_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    if not frame.columns.is_unique:
        twice = sorted(set(map(str, frame.columns[frame.columns.duplicated()])))
        raise ValueError(f"every column must be there once, however: twice in the table: {twice}: rename or drop one")
    absent = [name for name in names if name not in frame.columns]
    unknown = [str(name) for name in frame.columns if name not in names]
    if not absent and not unknown:
        return
    parts = []
    if absent:
        parts.append(f"absent: {absent}")
    if unknown:
        parts.append("unknown: " + ", ".join(_with_suggestion(name, absent or names) for name in unknown))
    raise ValueError(
        f"the table must hold exactly the {len(names)} columns of the schema, however: {'; '.join(parts)}: "
        "rename or drop unknown columns; add absent ones, with empty cells where nothing was measured"
    )


def _with_suggestion(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name!r} (do you mean {close[0]!r}?)" if close else repr(name)
