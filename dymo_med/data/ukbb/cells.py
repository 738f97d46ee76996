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

_MEANINGS = frozenset(
    {"prefer not to answer", "do not know", "none of the above", "female", "male", "yes", "no", "unable to walk"}
)
"""What exports write in place of codes when asked to decode them."""


def where_of(cell: Cell, feature: str = "") -> str:
    """Name a place for people: feature, field and visit.

    Example:
        >>> where_of(Cell(4080, 2, 1), "systolic_blood_pressure_mmhg")
        'feature systolic_blood_pressure_mmhg (field 4080, visit 2)'
    """
    place = f"field {cell.field}, visit {cell.visit}"
    return f"feature {feature} ({place})" if feature else place


def refuse_decoded(texts: pd.Series, n_filled: int, cell: Cell, expected: str) -> None:
    """Refuse a column in which text is the rule, or the meaning of codes, not the exception of one subject.

    Args:
        texts: Cells with text where none belongs.
        n_filled: Cells that are not blank.
        cell: Place of the column.
        expected: What should stand there ("codes").

    Raises:
        ValueError: two or more cells hold text, and they are more than half of those filled or known meanings of codes.
    """
    n_meanings = int(texts.astype("str").str.strip().str.lower().isin(_MEANINGS).sum())
    if len(texts) >= 2 and 2 * len(texts) > n_filled:
        found = f"{len(texts)} of {n_filled} filled cells hold other text"
    elif n_meanings >= 2:
        found = f"{n_meanings} of {n_filled} filled cells hold the meaning of a code ('Prefer not to answer', 'Yes')"
    else:
        return
    raise ValueError(
        f"{where_of(cell)} must hold {expected}, however: {found}: "
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
    rows, raw = table.columns[cell]
    texts = raw.to_pandas()
    values = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, copy=True, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    is_text = np.isnan(values)
    if is_text.any():
        refuse_decoded(texts[is_text], len(texts), cell, "numbers or codes")
        error = SubjectError(
            "text where a number belongs", where=where_of(cell, feature), remedy="correct the cell or leave it blank"
        )
        aside.add(table.subjects[rows[is_text]], "table", error)
    result = np.full(len(table), np.nan)
    result[rows] = values
    return result


def read_codes(table: ParticipantTable, cells: list[Cell]) -> pd.DataFrame:
    """Read columns whose cells hold one code or a list of them, as rows.

    Lists may be joined by bars, or be written as JSON or Python lists.

    Returns:
        One row per code: ``row`` (position of the subject in the table), ``visit``, ``array`` (position of the code
        among all of the visit), ``code`` (text, trimmed).

    Example:
        >>> table = ParticipantTable.of({Cell(6150, 2, 0): ["1|4", None, '["2"]']}, ["S1", "S2", "S3"])
        >>> read_codes(table, table.places(6150)).values.tolist()
        [[0, 2, 0, '1'], [0, 2, 1, '4'], [2, 2, 0, '2']]
    """
    parts = [_exploded(table, cell) for cell in cells]
    filled = [part for part in parts if not part.empty]
    if not filled:
        return pd.DataFrame({"row": [], "visit": [], "array": []}, dtype="int64").assign(code=np.array([], dtype="str"))
    joined: pd.DataFrame = pd.concat(filled, ignore_index=True)
    return joined


def _exploded(table: ParticipantTable, cell: Cell) -> pd.DataFrame:
    rows, raw = table.columns[cell]
    which, texts = pd.factorize(raw.to_pandas().to_numpy(object))  # few texts are different: each is taken apart once
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
    return pd.to_datetime(raw.astype("string").str.slice(0, 10), format="%Y-%m-%d", errors="coerce")
