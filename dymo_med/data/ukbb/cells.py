"""From raw cells to numbers, codes and dates, with the faults told apart from blanks."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dymo_med.data.ukbb.dialects import Cell
from dymo_med.data.ukbb.set_aside import SetAside
from dymo_med.data.ukbb.tables import ParticipantTable
from dymo_med.utils import SubjectError

__all__ = ["read_codes", "read_dates", "read_numbers", "refuse_decoded", "where_of"]


def where_of(cell: Cell, feature: str = "") -> str:
    """Name a place for people: feature, field and visit.

    Example:
        >>> where_of(Cell(4080, 2, 1), "systolic_blood_pressure_mmhg")
        'feature systolic_blood_pressure_mmhg (field 4080, visit 2)'
    """
    place = f"field {cell.field}, visit {cell.visit}"
    return f"feature {feature} ({place})" if feature else place


def refuse_decoded(n_text: int, n_filled: int, cell: Cell, expected: str) -> None:
    """Refuse a column in which text is the rule, not the exception of one subject.

    Args:
        n_text: Cells with text.
        n_filled: Cells that are not blank.
        cell: Place of the column.
        expected: What should stand there ("codes").

    Raises:
        ValueError: two or more cells, and more than half of those filled, hold text.
    """
    if n_text >= 2 and 2 * n_text > n_filled:
        raise ValueError(
            f"{where_of(cell)} must hold {expected}, however: {n_text} of {n_filled} filled cells hold other text: "
            "export the table again with RAW coding (codes, not their meanings; dates as YYYY-MM-DD)"
        )


def read_numbers(table: ParticipantTable, cell: Cell, aside: SetAside, feature: str = "") -> NDArray[np.float64]:
    """Read one column as numbers.

    Args:
        table: Raw cells.
        cell: Column to read.
        aside: Receives the subjects whose cell holds text or no finite number.
        feature: Name for the reason.

    Returns:
        (N,) float64, nan where blank or not a number.

    Raises:
        ValueError: the column holds decoded text.
    """
    raw = table.cells[cell]
    values = pd.to_numeric(raw, errors="coerce").to_numpy(np.float64, copy=True, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    is_text = raw.notna().to_numpy() & np.isnan(values)
    if is_text.any():
        refuse_decoded(int(is_text.sum()), int(raw.notna().sum()), cell, "numbers or codes")
        error = SubjectError(
            "text where a number belongs", where=where_of(cell, feature), remedy="correct the cell or leave it blank"
        )
        aside.add(table.cells.index[is_text], "table", error)
    return values


def read_codes(table: ParticipantTable, cells: list[Cell]) -> pd.DataFrame:
    """Read columns whose cells hold one code or a list of them, as rows.

    Lists may be joined by bars, or be written as JSON or Python lists.

    Returns:
        One row per code: ``row`` (position of the subject in the table), ``visit``, ``array`` (position of the code
        among all of the visit), ``code`` (text, trimmed).

    Example:
        >>> columns = pd.MultiIndex.from_tuples([Cell(6150, 2, 0)])
        >>> table = ParticipantTable(pd.DataFrame([["1|4"], [None], ['["2"]']], columns=columns))
        >>> read_codes(table, table.places(6150)).values.tolist()
        [[0, 2, 0, '1'], [0, 2, 1, '4'], [2, 2, 0, '2']]
    """
    parts = [_exploded(table.cells[cell], cell) for cell in cells]
    filled = [part for part in parts if not part.empty] or [_exploded(pd.Series([], dtype="object"), Cell(0, 0, 0))]
    joined: pd.DataFrame = pd.concat(filled, ignore_index=True)
    return joined


def _exploded(raw: pd.Series, cell: Cell) -> pd.DataFrame:
    rows = np.flatnonzero(raw.notna().to_numpy())
    which, texts = pd.factorize(raw.iloc[rows].to_numpy(object))  # few texts are different: each is taken apart once
    lists = [
        [code.strip() for code in re.sub(r"[\[\]\"']", "", str(text)).replace(",", "|").split("|")] for text in texts
    ]
    lengths = np.array([len(codes) for codes in lists], dtype=np.int64)[which]
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    frame = pd.DataFrame(
        {
            "row": np.repeat(rows, lengths),
            "visit": cell.visit,
            "array": np.arange(lengths.sum()) - starts + cell.array,
            "code": np.array([code for index in which for code in lists[index]], dtype=object),
        }
    )
    filled: pd.DataFrame = frame[frame["code"].to_numpy() != ""].reset_index(drop=True)
    return filled


def read_dates(raw: pd.Series) -> pd.Series:
    """Read ISO dates (YYYY-MM-DD, a time behind it is ignored); NaT where blank or no such date."""
    if pd.api.types.is_datetime64_any_dtype(raw):
        return raw
    return pd.to_datetime(raw.astype("string").str.slice(0, 10), format="%Y-%m-%d", errors="coerce")
